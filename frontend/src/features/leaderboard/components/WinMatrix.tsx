import type { Leaderboard } from "@/api/types";
import { percent } from "@/shared/format";
import { Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { shareWon, winMatrix } from "../board";
import { useTexts } from "../texts";
import styles from "./leaderboard.module.css";

export function WinMatrix({ board }: { board: Leaderboard }) {
  const { matrix: texts } = useTexts();
  if (board.matrix.length === 0) return null;
  const met = winMatrix(board.matrix);
  const models = board.standings.map(({ model }) => model);
  return (
    <Panel title={texts.title} flush>
      <p className={`${ui.dim} ${styles.lead}`}>{texts.lead}</p>
      <TableScroll label={texts.table}>
        <thead>
          <tr>
            <td />
            {models.map((model) => (
              <th key={model} scope="col" className={ui.number}>
                <span className={ui.mono}>{model}</span>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {models.map((one) => (
            <tr key={one}>
              <th scope="row" className={styles.model}>
                <span className={ui.mono}>{one}</span>
              </th>
              {models.map((other) => {
                const cell = met(one, other);
                if (!cell) {
                  return (
                    <td key={other} className={ui.number}>
                      {one === other ? "" : <span title={texts.never}>–</span>}
                    </td>
                  );
                }
                const share = shareWon(cell);
                return (
                  <td
                    key={other}
                    className={`${ui.number} ${styles.cell}`}
                    style={{ ["--wash" as string]: `${Math.round(share * 42)}%` }}
                    title={texts.cell(one, other, cell.wins, cell.losses, cell.ties)}
                  >
                    {percent(share)}
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
