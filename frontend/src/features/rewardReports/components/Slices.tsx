import { Fragment } from "react";
import type { Estimate, RewardReport } from "@/api/types";
import { count, percent } from "@/shared/format";
import ui from "@/shared/ui/ui.module.css";
import { boundsOf, grouped, type Slice, tooSure } from "../figures";
import { useTexts } from "../texts";
import { ReportTable } from "./ReportTable";
import styles from "./report.module.css";

const share = (value: number) => percent(value, 1);

/**
 * An estimate with its interval, drawn on a scale from 0 to 1. A mark on the scale shows the accuracy over
 * all preferences.
 */
function Drawn({ estimate: { value, low, high }, all }: { estimate: Estimate; all: number | null }) {
  if (value === null) return null;
  return (
    <div className={styles.drawn} aria-hidden="true">
      {all !== null && <s style={{ left: `${all * 100}%` }} />}
      {low !== null && high !== null && (
        <i style={{ left: `${low * 100}%`, width: `${(high - low) * 100}%` }} />
      )}
      <b style={{ left: `${value * 100}%` }} />
    </div>
  );
}

/** The model's accuracy by slice. */
export function Slices({ report }: { report: RewardReport }) {
  const { slices: texts } = useTexts();
  const all = report.accuracy.value;
  const figures = (name: string, one: Pick<Slice, "pairs" | "prompts" | "accuracy"> & Partial<Slice>) => (
    <>
      <th scope="row" className={one.of === undefined ? styles.row : `${styles.row} ${styles.member}`}>
        {name}
      </th>
      <td className={ui.number}>{count(one.pairs)}</td>
      <td className={ui.number}>{count(one.prompts)}</td>
      <td className={ui.number}>{one.accuracy.value === null ? "–" : share(one.accuracy.value)}</td>
      <td>
        <Drawn estimate={one.accuracy} all={one.of === undefined ? null : all} />
        <span className={styles.bounds}>{boundsOf(one.accuracy, share)}</span>
      </td>
      <td className={ui.number}>
        {one.confidence !== undefined && (
          <>
            {share(one.confidence)}
            {tooSure({ accuracy: one.accuracy, confidence: one.confidence }) && (
              <span className={styles.bounds}>{texts.tooSure}</span>
            )}
          </>
        )}
      </td>
    </>
  );
  return (
    <ReportTable
      title={texts.title}
      about={texts.about}
      columns={[
        [texts.slice, "words"],
        [texts.pairs, "numbers"],
        [texts.prompts, "numbers"],
        [texts.accuracy, "numbers"],
        [texts.interval, "words"],
        [texts.confidence, "numbers"],
      ]}
      after={report.slices.length === 0 ? texts.none : undefined}
    >
      <tr>{figures(texts.everything, report)}</tr>
      {grouped(report.slices).map(({ by, of }) => (
        <Fragment key={by}>
          <tr>
            <th scope="rowgroup" colSpan={6} className={styles.kind}>
              {texts.by[by]}
            </th>
          </tr>
          {of.map((one) => (
            <tr key={one.of}>{figures(texts.of[one.of] ?? one.of, one)}</tr>
          ))}
        </Fragment>
      ))}
    </ReportTable>
  );
}
