import { useState } from "react";
import type { SampleEvent } from "@/api/types";
import { metric } from "@/shared/format";
import { SampleTable } from "@/shared/samples/SampleTable";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { type Column, sampleRows, stepsOf } from "../compare/samples";
import styles from "../components/samples.module.css";
import { useTexts } from "../texts";

const BEFORE = -1;

/** Answers to the same prompts before training and at the selected steps, side by side. */
export function Samples({ samples }: { samples: readonly SampleEvent[] }) {
  const texts = useTexts().samples;
  const steps = stepsOf(samples).filter((step) => step > 0);
  const [chosen, setChosen] = useState<readonly number[] | null>(null);
  // Until the user selects columns, the newest step is shown next to the answers before training.
  const shown = chosen ?? [BEFORE, ...steps.slice(-1)];
  const columns = [BEFORE, ...steps]
    .filter((step) => shown.includes(step))
    .map(
      (step): Column => ({
        key: String(step),
        title: step === BEFORE ? texts.before : texts.step(step),
        before: step === BEFORE,
        step,
        samples,
      }),
    );
  return (
    <Panel title={texts.title} flush>
      <fieldset className={styles.steps}>
        <legend>{texts.columns}</legend>
        {[BEFORE, ...steps].map((step) => (
          <label key={step}>
            <input
              type="checkbox"
              checked={shown.includes(step)}
              onChange={(event) =>
                setChosen(
                  event.currentTarget.checked ? [...shown, step] : shown.filter((other) => other !== step),
                )
              }
            />
            {step === BEFORE ? texts.before : texts.step(step)}
          </label>
        ))}
      </fieldset>
      {columns.length > 0 ? (
        <SampleTable rows={sampleRows(columns, metric)} />
      ) : (
        <p className={`${ui.dim} ${styles.none}`}>{texts.none}</p>
      )}
    </Panel>
  );
}
