import type { RewardReport } from "@/api/types";
import { percent } from "@/shared/format";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { decimals, signed, withBounds } from "../figures";
import { useTexts } from "../texts";
import { Diagram } from "./Diagram";
import { Figures } from "./Figures";
import styles from "./report.module.css";

const share = (value: number) => percent(value, 1);

/** Tie predictions of a model that was trained with ties. */
export function Ties({ ties }: { ties: NonNullable<RewardReport["ties"]> }) {
  const { tie: texts } = useTexts();
  const ece = withBounds(ties.reliability.ece, decimals);
  return (
    <Panel title={texts.title}>
      <div className={styles.beside}>
        <Diagram bins={ties.reliability.bins} label={texts.diagram(ece)} />
        <div className={ui.stack}>
          <p>{texts.about}</p>
          <Figures
            items={[
              { name: texts.tied, value: withBounds(ties.tied, share) },
              { name: texts.predicted, value: share(ties.predicted) },
              {
                name: texts.area,
                value: ties.area_under_curve === null ? "–" : decimals(ties.area_under_curve, 2),
                note: texts.areaNote,
              },
              { name: texts.gain, value: withBounds(ties.gain, signed), note: texts.gainNote },
              { name: texts.ece, value: ece },
            ]}
          />
        </div>
      </div>
    </Panel>
  );
}

/** Strength predictions of a model that was trained with strengths. */
export function Strengths({ strengths }: { strengths: NonNullable<RewardReport["strengths"]> }) {
  const { strength: texts } = useTexts();
  const ece = withBounds(strengths.reliability.ece, decimals);
  return (
    <Panel title={texts.title} aside={<span className={ui.dim}>{texts.pairs(strengths.pairs)}</span>}>
      <div className={styles.beside}>
        <Diagram bins={strengths.reliability.bins} label={texts.diagram(ece)} />
        <div className={ui.stack}>
          <p>{texts.about}</p>
          <table className={ui.table}>
            <thead>
              <tr>
                <th>{texts.level}</th>
                <th className={ui.number}>{texts.stated}</th>
                <th className={ui.number}>{texts.predicted}</th>
              </tr>
            </thead>
            <tbody>
              {strengths.levels.map(({ level, stated, predicted }) => (
                <tr key={level}>
                  <td>{level}</td>
                  <td className={ui.number}>{withBounds(stated, share)}</td>
                  <td className={ui.number}>{share(predicted)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {strengths.not_known > 0 && <p className={ui.dim}>{texts.notKnown(strengths.not_known)}</p>}
        </div>
      </div>
    </Panel>
  );
}
