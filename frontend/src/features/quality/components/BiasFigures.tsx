import type { Estimate } from "@/api/types";
import { percent } from "@/shared/format";
import ui from "@/shared/ui/ui.module.css";
import { interval, leans } from "../reading";
import { Drawn } from "./Drawn";
import styles from "./quality.module.css";

type Bias = { label: string; meaning: string; estimate: Estimate };

/** Shares for which ½ means no bias, each with a text that states whether its interval contains ½. */
export function BiasFigures({
  biases,
  even,
  leaning,
}: {
  biases: readonly Bias[];
  even: string;
  leaning: string;
}) {
  return (
    <dl className={styles.figures}>
      {biases
        .filter(({ estimate }) => estimate.value !== null)
        .map(({ label, meaning, estimate }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              <span className={styles.value}>{interval(estimate, percent)}</span>
              <Drawn estimate={estimate} from={0} />
              <p className={ui.dim}>
                {meaning} {leans(estimate) ? leaning : even}
              </p>
            </dd>
          </div>
        ))}
    </dl>
  );
}
