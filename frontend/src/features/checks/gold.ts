import type { TaskDetail } from "@/api/types";
import { type Ranking, restoreRanking, startRanking } from "@/ranking/order/ranking";

/** Every response has its place in a known answer, and some may be equally good. */
const RULES = { ties: true, atMost: null };

/** The known answer to begin with: the one there is, or else the order of import. */
export function goldToEdit(task: TaskDetail): Ranking {
  const ids = task.responses.map(({ id }) => id);
  return restoreRanking(ids, task.gold_tiers, task.gold_tiers !== null, RULES) ?? startRanking(ids, RULES);
}

/** The server refuses an answer that puts nothing above anything; so the button waits for one. */
export function saysSomething({ tiers }: Pick<Ranking, "tiers">): boolean {
  return tiers.length > 1;
}
