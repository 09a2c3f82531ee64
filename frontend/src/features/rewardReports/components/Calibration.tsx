import type { RewardReport } from "@/api/types";
import { count, percent } from "@/shared/format";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { boundsOf, decimals } from "../figures";
import { useTexts } from "../texts";
import { Diagram } from "./Diagram";
import styles from "./report.module.css";

/** Calibration: whether observed preferences are as frequent as the model predicts. */
export function Calibration({ calibration }: { calibration: RewardReport["calibration"] }) {
  const { calibration: texts } = useTexts();
  const { bins, ece } = calibration.preference;
  const shown = ece.value === null ? "–" : decimals(ece.value);
  return (
    <Panel title={texts.title}>
      <div className={styles.beside}>
        <Diagram bins={bins} label={texts.diagram(shown)} />
        <div className={ui.stack}>
          <p>{texts.about}</p>
          <p className={ui.dim}>
            {calibration.ties_counted ? texts.withTies : texts.withoutTies}{" "}
            {texts.cases(bins.reduce((sum, bin) => sum + bin.events, 0))}.
          </p>
          <details className={styles.more}>
            <summary>{texts.table}</summary>
            <table className={ui.table}>
              <thead>
                <tr>
                  <th>{texts.chance}</th>
                  <th className={ui.number}>{texts.predicted}</th>
                  <th className={ui.number}>{texts.observed}</th>
                  <th className={ui.number}>{texts.events}</th>
                </tr>
              </thead>
              <tbody>
                {bins.map((bin) => (
                  <tr key={bin.low}>
                    <td>
                      {percent(bin.low)} – {percent(bin.high)}
                    </td>
                    <td className={ui.number}>{percent(bin.predicted, 1)}</td>
                    <td className={ui.number}>
                      {bin.observed.value === null ? "–" : percent(bin.observed.value, 1)}
                      <span className={styles.bounds}>
                        {boundsOf(bin.observed, (value) => percent(value, 1))}
                      </span>
                    </td>
                    <td className={ui.number}>{count(bin.events)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </details>
        </div>
      </div>
    </Panel>
  );
}
