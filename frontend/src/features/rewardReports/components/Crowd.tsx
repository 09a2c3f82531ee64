import type { ModelReport } from "@/api/types";
import { count, percent } from "@/shared/format";
import { Badge } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { boundsOf } from "../figures";
import { useTexts } from "../texts";
import { ReportTable } from "./ReportTable";
import styles from "./report.module.css";

const share = (value: number) => percent(value, 1);

/** The annotator reliabilities that the model learned. Renders nothing if the model treats all annotators alike. */
export function Crowd({ annotators }: Pick<ModelReport, "annotators">) {
  const { crowd: texts } = useTexts();
  if (annotators.length === 0) return null;
  return (
    <ReportTable
      title={texts.title}
      about={texts.about}
      columns={[
        [texts.who, "words"],
        [texts.rankings, "numbers"],
        [texts.reliability, "numbers"],
      ]}
    >
      {annotators.map(({ name, rankings, reliability }) => (
        <tr key={name}>
          <th scope="row" className={styles.row}>
            {name}
          </th>
          <td className={ui.number}>{count(rankings)}</td>
          <td className={ui.number}>
            {reliability.value !== null && share(reliability.value)}
            <span className={styles.bounds}>{boundsOf(reliability, share)}</span>
            {reliability.low !== null && reliability.low <= 0.5 && <Badge tone="warn">{texts.guess}</Badge>}
          </td>
        </tr>
      ))}
    </ReportTable>
  );
}
