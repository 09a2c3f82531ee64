import type { Leaderboard, LeaderboardRow } from "@/api/types";
import { count, percent } from "@/shared/format";
import { Badge, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { chanceToWin, groupsOf, hasLevels, scaleOf, tellable } from "../board";
import { useTexts } from "../texts";
import styles from "./leaderboard.module.css";

const decimals = (value: number) => value.toFixed(2).replace("-", "−");

/**
 * A leaderboard as a table. Each strength is shown as a number and as a bar with its confidence interval. All
 * bars have a common scale.
 */
export function Strengths({ standings, label }: { standings: Leaderboard["standings"]; label: string }) {
  const { board: texts } = useTexts();
  const groups = groupsOf(standings);
  const levels = hasLevels(standings);
  const at = scaleOf(standings);
  const row = (standing: LeaderboardRow, best: LeaderboardRow) => (
    <tr key={standing.model}>
      <th scope="row" className={styles.model}>
        <span className={ui.mono}>{standing.model}</span>
      </th>
      {groups.length > 1 && <td className={ui.number}>{standing.group + 1}</td>}
      {levels && <td className={ui.number}>{standing.level + 1}</td>}
      <td className={ui.number}>{decimals(standing.strength)}</td>
      <td>
        <div className={styles.interval} aria-hidden="true">
          <i style={{ left: `${at(standing.low)}%`, width: `${at(standing.high) - at(standing.low)}%` }} />
          <b style={{ left: `${at(standing.strength)}%` }} />
        </div>
        <span className={styles.bounds}>{texts.from(decimals(standing.low), decimals(standing.high))}</span>
      </td>
      <td className={ui.number}>
        {standing === best ? (
          <Badge tone="good">{texts.best}</Badge>
        ) : (
          <>
            {percent(chanceToWin(standing.strength, best.strength))}
            {!tellable(standing, best) && <span className={styles.untold}>{texts.notTold}</span>}
          </>
        )}
      </td>
      <td className={ui.number}>{count(standing.wins)}</td>
      <td className={ui.number}>{count(standing.losses)}</td>
      <td className={ui.number}>{count(standing.ties)}</td>
    </tr>
  );
  return (
    <TableScroll label={label}>
      <thead>
        <tr>
          <th>{texts.model}</th>
          {groups.length > 1 && <th className={ui.number}>{texts.group}</th>}
          {levels && <th className={ui.number}>{texts.level}</th>}
          <th className={ui.number}>{texts.strength}</th>
          <th>{texts.interval}</th>
          <th className={ui.number}>{texts.chance}</th>
          <th className={ui.number}>{texts.won}</th>
          <th className={ui.number}>{texts.lost}</th>
          <th className={ui.number}>{texts.tied}</th>
        </tr>
      </thead>
      <tbody>{groups.flatMap((group) => group.map((standing) => row(standing, group[0] ?? standing)))}</tbody>
    </TableScroll>
  );
}
