import type { RewardReport } from "@/api/types";
import { useTexts } from "../texts";
import styles from "./report.module.css";

type Bins = RewardReport["calibration"]["preference"]["bins"];

const SIDE = 240;
const LEFT = 40;
const TOP = 24;
const FOOT = 90;
const MOST_TALL = 32;
const TICKS = [0, 0.25, 0.5, 0.75, 1];

const x = (share: number) => LEFT + share * SIDE;
const y = (share: number) => TOP + (1 - share) * SIDE;
const percents = (share: number) => `${Math.round(share * 100)}`;

/**
 * A diagram that plots observed shares, with intervals, against predicted shares. The number of cases in each
 * bin is shown below the diagram. The table next to the diagram contains the same numbers.
 */
export function Diagram({ bins, label }: { bins: Bins; label: string }) {
  const texts = useTexts().calibration;
  const most = Math.max(1, ...bins.map((bin) => bin.events));
  const floor = TOP + SIDE + FOOT - 12;
  return (
    <svg
      className={styles.diagram}
      viewBox={`0 0 ${LEFT + SIDE + 14} ${TOP + SIDE + FOOT}`}
      role="img"
      aria-label={label}
    >
      {TICKS.map((tick) => (
        <g key={tick}>
          <line className={styles.rule} x1={x(0)} x2={x(1)} y1={y(tick)} y2={y(tick)} />
          <text x={x(0) - 6} y={y(tick) + 4} textAnchor="end">
            {percents(tick)}
          </text>
          <text x={x(tick)} y={y(0) + 16} textAnchor="middle">
            {percents(tick)}
          </text>
        </g>
      ))}
      <line className={styles.even} x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} />
      {bins.map(({ low, high, predicted, observed, events }) => (
        <g key={low}>
          {observed.low !== null && observed.high !== null && (
            <line
              className={styles.mark}
              x1={x(predicted)}
              x2={x(predicted)}
              y1={y(observed.low)}
              y2={y(observed.high)}
            />
          )}
          {observed.value !== null && (
            <circle className={styles.dot} cx={x(predicted)} cy={y(observed.value)} r="4" />
          )}
          <rect
            className={styles.tally}
            x={x(low) + 1}
            width={(high - low) * SIDE - 2}
            y={floor - (MOST_TALL * events) / most}
            height={(MOST_TALL * events) / most}
          />
        </g>
      ))}
      <text x={x(0) - 6} y={floor} textAnchor="end">
        {texts.events}
      </text>
      <text className={styles.axis} x={x(1)} y={y(0) + 32} textAnchor="end">
        {texts.predicted}, %
      </text>
      <text className={styles.axis} x={x(0)} y={y(1) - 10}>
        {texts.observed}, %
      </text>
    </svg>
  );
}
