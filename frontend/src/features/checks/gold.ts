import type { TaskDetail } from "@/api/types";
import { type Ranking, restoreRanking, startRanking } from "@/ranking/order/rankingReducer";

/** In a known answer, every response is ranked and ties are allowed. */
const RULES = { ties: true, atMost: null };

/** The initial order in the editor: the existing known answer or, if there is none, the import order. */
export function goldToEdit(task: TaskDetail): Ranking {
  const ids = task.responses.map(({ id }) => id);
  return restoreRanking(ids, task.gold_tiers, task.gold_tiers !== null, RULES) ?? startRanking(ids, RULES);
}

/**
 * Whether at least one response is better than another. If not, the save button is disabled, because the
 * server refuses a known answer in which all responses are tied.
 */
export function saysSomething({ tiers }: Pick<Ranking, "tiers">): boolean {
  return tiers.length > 1;
}
