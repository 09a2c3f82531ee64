import { describe, expect, it } from "vitest";
import type { Run } from "@/api/types";
import { loopStepOf } from "./loopStep";

type Told = Parameters<typeof loopStepOf>[0][number];

function run(kind: Run["kind"], made: string | null, inputs = {}, state: Run["state"] = "succeeded"): Told {
  const model = made ? { id: made, name: made } : null;
  return { id: `run of ${kind}`, kind, state, inputs, result: { model } as Run["result"] };
}

const first = run("sft", "sft-1");
const judge = run("reward_model", "rm-1");
const better = run("ppo", "ppo-1", { policy: "sft-1", reward_model: "rm-1" });
const asked = run("sample", null, { policy: "ppo-1" });

describe("the next step of the training loop", () => {
  it("annotators rank until there is enough training data", () => {
    expect(loopStepOf([first], 49, 600)).toEqual({ is: "people" });
    expect(loopStepOf([first], 50, 600)).toEqual({ is: "train" });
  });

  it("a loop that is on starts the next steps", () => {
    const loop = (enabled: boolean, running_round: number | null, blocked_by = "") => ({
      enabled,
      status: { running_round, blocked_by, new_comparisons: 812, next_scheduled_at: null, gpu_hours: 0 },
      settings: { min_new_comparisons: 1500 },
    });
    const told = (one: ReturnType<typeof loop>) => loopStepOf([first], 600, 0, one);
    expect(told(loop(true, null))).toEqual({ is: "collect", collected: 812, needed: 1500 });
    expect(told(loop(false, 3))).toEqual({ is: "round", number: 3 });
    // If the loop is off or a budget is used up, an admin starts the next run.
    expect(told(loop(false, null))).toEqual({ is: "train" });
    expect(told(loop(true, null, "The budget is used up."))).toEqual({ is: "train" });
    expect(loopStepOf([first], 600, 0, null)).toEqual({ is: "train" });
  });

  it("a policy is improved with the newest reward model", () => {
    expect(loopStepOf([judge, first], 600, 0)).toEqual({ is: "improve", rewardModel: "rm-1" });
    const next = run("reward_model", "rm-2");
    expect(loopStepOf([next, asked, better, judge], 900, 0)).toEqual({ is: "improve", rewardModel: "rm-2" });
  });

  it("the improved policy is sampled even if earlier samples exist", () => {
    expect(loopStepOf([better, judge, first], 600, 0)).toEqual({ is: "sample", policy: "ppo-1" });
    expect(loopStepOf([better, run("sample", null), judge], 600, 5)).toEqual({
      is: "sample",
      policy: "ppo-1",
    });
  });

  it("samples are ranked before a reward model is trained on the rankings", () => {
    expect(loopStepOf([asked, better, judge, first], 600, 32)).toEqual({ is: "people" });
    expect(loopStepOf([asked, better, judge, first], 632, 0)).toEqual({ is: "train" });
  });

  it("DPO improves the policy without a reward model", () => {
    const direct = run("dpo", "dpo-1", { policy: "sft-1", snapshot: "v1" });
    expect(loopStepOf([direct, first], 600, 0)).toEqual({ is: "sample", policy: "dpo-1" });
    expect(loopStepOf([asked, direct, first], 600, 32)).toEqual({ is: "people" });
    expect(loopStepOf([direct, judge, first], 600, 0)).toEqual({ is: "sample", policy: "dpo-1" });
    expect(loopStepOf([judge, direct, first], 600, 0)).toEqual({ is: "improve", rewardModel: "rm-1" });
  });

  it("an active run is watched; failed and cancelled runs are ignored", () => {
    const running = run("reward_model", null, {}, "running");
    expect(loopStepOf([running, first], 600, 0)).toEqual({ is: "watch", run: "run of reward_model" });
    expect(loopStepOf([run("reward_model", null, {}, "failed"), first], 600, 0)).toEqual({ is: "train" });
    const failed = run("ppo", null, { reward_model: "rm-1" }, "cancelled");
    expect(loopStepOf([failed, judge], 600, 0)).toEqual({ is: "improve", rewardModel: "rm-1" });
  });
});
