import type { TaskDetail } from "@/api/types";
import { type Ranking, restoreRanking, startRanking } from "@/ranking/order/ranking";

/** In a known answer every response has a place, and ties are allowed. */
const RULES = { ties: true, atMost: null };

/** The known answer to start from: the current one, or the order of import. */
export function goldToEdit(task: TaskDetail): Ranking {
  const ids = task.responses.map(({ id }) => id);
  return restoreRanking(ids, task.gold_tiers, task.gold_tiers !== null, RULES) ?? startRanking(ids, RULES);
}

/** The server refuses an answer that ranks nothing above anything, so the button stays disabled until then. */
export function saysSomething({ tiers }: Pick<Ranking, "tiers">): boolean {
  return tiers.length > 1;
}
