import type { Loop, Run } from "@/api/types";

/**
 * Number of rankings that suffice for a first reward model. Training with fewer rankings is allowed, but the
 * result is mostly noise.
 */
const ENOUGH_RANKINGS = 50;

/**
 * The next step of a project's training loop, shown to admins. "people" means that more rankings are needed.
 */
export type LoopStep =
  | { is: "people" }
  | { is: "watch"; run: string }
  | { is: "train" }
  | { is: "improve"; rewardModel: string }
  | { is: "sample"; policy: string }
  | { is: "round"; number: number }
  | { is: "collect"; collected: number; needed: number };

const IMPROVES: readonly Run["kind"][] = ["rejection_sampling", "rloo", "ppo"];

type KnownRun = Pick<Run, "id" | "kind" | "state" | "inputs" | "result">;

/**
 * @param runs the project's runs, newest first
 * @param loop the project's training loop, or null without a loop
 */
export function loopStepOf(
  runs: readonly KnownRun[],
  rankings: number,
  openTasks: number,
  loop: Pick<Loop, "enabled" | "status" | "settings"> | null = null,
): LoopStep {
  const round = loop?.status.running_round ?? null;
  if (round !== null) return { is: "round", number: round };
  const needed: unknown = loop?.settings.min_new_comparisons;
  if (loop?.enabled && !loop.status.blocked_by && typeof needed === "number") {
    return { is: "collect", collected: loop.status.new_comparisons, needed };
  }
  const live = runs.find(({ state }) => state === "queued" || state === "running");
  if (live) return { is: "watch", run: live.id };
  if (rankings < ENOUGH_RANKINGS) return { is: "people" };
  const done = runs.filter(({ state }) => state === "succeeded");
  const judged = done.findIndex(({ kind }) => kind === "reward_model");
  const rewardModel = done[judged]?.result.model?.name;
  const improved = done.findIndex(({ kind, inputs }, index) =>
    kind === "dpo"
      ? judged < 0 || index < judged // DPO needs no reward model
      : rewardModel !== undefined && IMPROVES.includes(kind) && inputs.reward_model === rewardModel,
  );
  const policy = done[improved]?.result.model?.name;
  if (!policy) return rewardModel ? { is: "improve", rewardModel } : { is: "train" };
  const asked = done.slice(0, improved).some(({ kind }) => kind === "sample");
  if (!asked) return { is: "sample", policy };
  return openTasks > 0 ? { is: "people" } : { is: "train" };
}
