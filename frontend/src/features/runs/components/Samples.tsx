import { useState } from "react";
import type { SampleEvent } from "@/api/types";
import { Conversation } from "@/shared/Conversation";
import { metric } from "@/shared/format";
import { Markdown } from "@/shared/markdown/Markdown";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import styles from "./run.module.css";

function promptKey(sample: SampleEvent): string {
  return JSON.stringify(sample.prompt);
}

/** The same prompts answered before training and at the chosen step, side by side. */
export function Samples({ samples }: { samples: readonly SampleEvent[] }) {
  const steps = [...new Set(samples.map((sample) => sample.step))].sort((a, b) => a - b);
  const [chosen, setChosen] = useState<number | null>(null);
  const step = chosen !== null && steps.includes(chosen) ? chosen : (steps.at(-1) ?? 0);
  // A resumed run says a step's samples again; the last word on a prompt stands.
  const shown = [
    ...new Map(
      samples.filter((sample) => sample.step === step).map((sample) => [promptKey(sample), sample]),
    ).values(),
  ];
  return (
    <Panel
      title="Samples"
      aside={
        <label className={styles.stepChoice}>
          <span>Step</span>
          <select value={step} onChange={(event) => setChosen(Number(event.currentTarget.value))}>
            {steps.map((option) => (
              <option key={option} value={option}>
                {option}
              </option>
            ))}
          </select>
        </label>
      }
      flush
    >
      <ol className={styles.samples}>
        {shown.map((sample) => (
          <li key={promptKey(sample)}>
            <div className={styles.samplePrompt}>
              <Conversation messages={sample.prompt} />
            </div>
            <div className={styles.pair}>
              <div>
                <h3>Before</h3>
                <Markdown text={sample.before} />
              </div>
              <div>
                <h3>Step {sample.step}</h3>
                <Markdown text={sample.after} />
              </div>
            </div>
            <p className={`${ui.dim} ${styles.scores}`}>
              {Object.entries(sample.scores)
                .sort(([a], [b]) => Number(b.includes("before")) - Number(a.includes("before")))
                .map(([name, value]) => `${name.replaceAll("_", " ")} ${metric(value)}`)
                .join(" · ")}
            </p>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
