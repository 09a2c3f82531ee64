import { figureName } from "@/shared/figures";
import { metric } from "@/shared/format";
import styles from "./models.module.css";

/** Named figures of a model, in the given order. */
export function Metrics({ metrics }: { metrics: readonly (readonly [name: string, value: number])[] }) {
  return (
    <dl className={styles.metrics}>
      {metrics.map(([name, value]) => (
        <div key={name}>
          <dt>{figureName(name)}</dt>
          <dd>{metric(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
