import { useQuery } from "@tanstack/react-query";
import type { LeaderboardRow } from "@/api/types";
import { count, metric } from "@/shared/format";
import { Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { leaderboardQuery } from "../api/leaderboard";
import styles from "./leaderboard.module.css";

/** Where a value stands between the lowest and the highest bound of all rows, in percent. */
function scaleOf(rows: readonly LeaderboardRow[]): (value: number) => number {
  const low = Math.min(...rows.map((row) => row.low));
  const high = Math.max(...rows.map((row) => row.high));
  return (value) => (high > low ? ((value - low) / (high - low)) * 100 : 50);
}

export function LeaderboardPanel({ slug }: { slug: string }) {
  const { data: board } = useQuery(leaderboardQuery(slug));
  if (!board || board.standings.length === 0) return null;
  const rows = board.standings;
  const at = scaleOf(rows);
  return (
    <Panel
      title="Leaderboard"
      flush
      aside={<span className={ui.dim}>Bradley–Terry strength with bootstrap intervals</span>}
    >
      {board.groups > 1 && (
        <p className={ui.dim}>
          These models are in {board.groups} groups that were never compared with each other. Strengths
          compare models within a group only.
        </p>
      )}
      <TableScroll label="Leaderboard, table">
        <thead>
          <tr>
            <th>Model</th>
            {board.groups > 1 && <th className={ui.number}>Group</th>}
            <th className={ui.number}>Strength</th>
            <th>Interval</th>
            <th className={ui.number}>Won</th>
            <th className={ui.number}>Lost</th>
            <th className={ui.number}>Tied</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.model}>
              <td className={ui.mono}>{row.model}</td>
              {board.groups > 1 && <td className={ui.number}>{row.group + 1}</td>}
              <td className={ui.number}>{metric(Number(row.strength.toFixed(2)))}</td>
              <td>
                <div className={styles.interval} title={`${row.low.toFixed(2)} to ${row.high.toFixed(2)}`}>
                  <i style={{ left: `${at(row.low)}%`, width: `${at(row.high) - at(row.low)}%` }} />
                  <b style={{ left: `${at(row.strength)}%` }} />
                </div>
              </td>
              <td className={ui.number}>{count(row.wins)}</td>
              <td className={ui.number}>{count(row.losses)}</td>
              <td className={ui.number}>{count(row.ties)}</td>
            </tr>
          ))}
        </tbody>
      </TableScroll>
    </Panel>
  );
}
