import type { Run } from "@/api/types";
import { Panel } from "@/shared/ui";
import { memory } from "../launch/span";
import { settingName, valueName } from "../recipe/names";
import styles from "../run/run.module.css";
import { useTexts } from "../texts";

export function settingText(name: string, value: unknown): string {
  if (value === null || value === undefined || value === "") return "–";
  return typeof value === "string" ? valueName(name, value) : JSON.stringify(value);
}

/** A run's inputs and recipe at launch, the resources that the run used, and the weights that it trained. */
export function Facts({ run }: { run: Run }) {
  const texts = useTexts().run;
  const inputs = Object.entries(run.inputs).filter(([, value]) => value);
  const { machine, trained_weights: trained } = run.result;
  const rows: [string, string][] = [
    ...inputs.map(([name, value]): [string, string] => [settingName(name), String(value)]),
    ...(run.device ? [[texts.device, texts.devices[run.device] ?? run.device] as [string, string]] : []),
    ...(machine ? [[texts.peak, memory(machine.peak_bytes)] as [string, string]] : []),
    ...(trained ? [[texts.trained, trained.join(", ")] as [string, string]] : []),
    ...Object.entries(run.recipe)
      .map(([name, value]): [string, string] => [settingName(name), settingText(name, value)])
      .sort(([a], [b]) => a.localeCompare(b)),
  ];
  return (
    <Panel title={texts.recipe} flush>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
      <section className={styles.factsBox} tabIndex={0} aria-label={texts.recipe}>
        <dl className={styles.facts}>
          {rows.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </section>
    </Panel>
  );
}
