import type { Estimate } from "@/api/types";
import styles from "./quality.module.css";

/** An estimate drawn on a scale from `from` to 1, so that the width of the confidence interval is visible. */
export function Drawn({ estimate: { value, low, high }, from }: { estimate: Estimate; from: number }) {
  if (value === null) return null;
  const at = (shown: number) => ((Math.max(from, Math.min(1, shown)) - from) / (1 - from)) * 100;
  return (
    <div className={styles.drawn} aria-hidden="true">
      {from < 0 && <s style={{ left: `${at(0)}%` }} />}
      {low !== null && high !== null && (
        <i style={{ left: `${at(low)}%`, width: `${at(high) - at(low)}%` }} />
      )}
      <b style={{ left: `${at(value)}%` }} />
    </div>
  );
}
