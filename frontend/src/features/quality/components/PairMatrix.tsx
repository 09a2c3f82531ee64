import type { Quality } from "@/api/types";
import { percent } from "@/shared/format";
import { Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { pairMatrix, washOf } from "../reading";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

export function PairMatrix({ between }: { between: Quality["between"] }) {
  const t = useTexts();
  if (between.length === 0) return null;
  const { people, cell } = pairMatrix(between);
  const wash = washOf(between.map(({ agreement }) => agreement));
  return (
    <Panel title={t.matrix.title} flush>
      <p className={`${ui.dim} ${styles.lead}`}>{t.matrix.lead}</p>
      <TableScroll label={t.matrix.table}>
        <thead>
          <tr>
            <td />
            {people.map((name) => (
              <th key={name} scope="col" className={ui.number}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {people.map((one) => (
            <tr key={one}>
              <th scope="row" className={styles.person}>
                {one}
              </th>
              {people.map((other) => {
                const found = cell(one, other);
                if (!found) {
                  return (
                    <td key={other} className={ui.number}>
                      {one === other ? "" : <span title={t.matrix.none}>–</span>}
                    </td>
                  );
                }
                return (
                  <td
                    key={other}
                    className={`${ui.number} ${styles.cell}`}
                    style={{ ["--wash" as string]: `${Math.round(wash(found.agreement) * 42)}%` }}
                    title={t.matrix.cell(one, other, found.agreement, found.n_pairs)}
                  >
                    {percent(found.agreement)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </TableScroll>
    </Panel>
  );
}
