import type { Project } from "@/api/types";
import { Panel } from "@/shared/ui";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

/** Describes the project's automatic rules, so that managers do not have to infer the rules from their effects. */
export function Thresholds({ project: { review_below, checks } }: { project: Project }) {
  const t = useTexts();
  return (
    <Panel title={t.thresholds.title}>
      <ul className={styles.rules}>
        <li>{t.thresholds.review(review_below)}</li>
        {checks && (
          <li>
            {typeof checks.gold_minimum_accuracy === "number"
              ? t.thresholds.gold(checks.gold_minimum_accuracy, checks.gold_minimum_answers ?? 0)
              : t.thresholds.noGold}
          </li>
        )}
        {checks && (checks.gold_rate || checks.attention_rate) ? (
          <li>{t.thresholds.mixed(checks.gold_rate ?? 0, checks.attention_rate ?? 0)}</li>
        ) : null}
        <li>{t.thresholds.outlier}</li>
      </ul>
    </Panel>
  );
}
