import type { RewardReport } from "@/api/types";
import { percent } from "@/shared/format";
import { Badge } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { boundsOf, decimals, points, sideOf, withBounds } from "../figures";
import { useTexts } from "../texts";
import { ReportTable } from "./ReportTable";
import styles from "./report.module.css";

const share = (value: number) => percent(value, 1);

/** The model's length and position biases, compared with those of the annotators on the same held-out rankings. */
export function Leanings({ report }: { report: RewardReport }) {
  const { lean: texts } = useTexts();
  const rows = [
    { name: texts.length, lean: report.length },
    { name: texts.position, lean: report.position },
  ];
  if (rows.every(({ lean }) => lean === null)) return null;
  return (
    <ReportTable
      title={texts.title}
      about={texts.about}
      columns={[
        [texts.what, "words"],
        [texts.model, "numbers"],
        [texts.people, "numbers"],
        [texts.excess, "numbers"],
        [texts.correlation, "numbers"],
        [texts.within, "numbers"],
      ]}
    >
      {rows.map(
        ({ name, lean }) =>
          lean && (
            <tr key={name}>
              <th scope="row" className={styles.row}>
                {name}
              </th>
              <td className={ui.number}>{withBounds(lean.by_model, share)}</td>
              <td className={ui.number}>{withBounds(lean.by_people, share)}</td>
              <td className={ui.number}>
                {lean.excess.value !== null && points(lean.excess.value)}
                <span className={styles.bounds}>{boundsOf(lean.excess, points)}</span>
                {sideOf(lean.excess) !== "above" && <Badge tone="neutral">{texts.no}</Badge>}
              </td>
              <td className={ui.number}>{withBounds(lean.correlation, (value) => decimals(value, 2))}</td>
              <td className={ui.number}>{withBounds(lean.within_rankings, (value) => decimals(value, 2))}</td>
            </tr>
          ),
      )}
    </ReportTable>
  );
}
