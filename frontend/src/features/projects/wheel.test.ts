import { describe, expect, it } from "vitest";
import type { Run } from "@/api/types";
import { turnOf } from "./wheel";

type Told = Parameters<typeof turnOf>[0][number];

function run(kind: Run["kind"], made: string | null, inputs = {}, state: Run["state"] = "succeeded"): Told {
  const model = made ? { id: made, name: made } : null;
  return { id: `run of ${kind}`, kind, state, inputs, result: { model } as Run["result"] };
}

const first = run("sft", "sft-1");
const judge = run("reward_model", "rm-1");
const better = run("ppo", "ppo-1", { policy: "sft-1", reward_model: "rm-1" });
const asked = run("sample", null, { policy: "ppo-1" });

describe("what turns the wheel on", () => {
  it("is ranking, until there is something to learn from", () => {
    expect(turnOf([first], 49, 600)).toEqual({ is: "people" });
    expect(turnOf([first], 50, 600)).toEqual({ is: "train" });
  });

  it("is improving a policy with the newest reward model", () => {
    expect(turnOf([judge, first], 600, 0)).toEqual({ is: "improve", rewardModel: "rm-1" });
    const next = run("reward_model", "rm-2");
    expect(turnOf([next, asked, better, judge], 900, 0)).toEqual({ is: "improve", rewardModel: "rm-2" });
  });

  it("is asking the improved policy, whatever was asked before it", () => {
    expect(turnOf([better, judge, first], 600, 0)).toEqual({ is: "sample", policy: "ppo-1" });
    expect(turnOf([better, run("sample", null), judge], 600, 5)).toEqual({ is: "sample", policy: "ppo-1" });
  });

  it("is ranking what it said, and then learning from that", () => {
    expect(turnOf([asked, better, judge, first], 600, 32)).toEqual({ is: "people" });
    expect(turnOf([asked, better, judge, first], 632, 0)).toEqual({ is: "train" });
  });

  it("is to watch what goes on, and nothing comes of what failed", () => {
    const running = run("reward_model", null, {}, "running");
    expect(turnOf([running, first], 600, 0)).toEqual({ is: "watch", run: "run of reward_model" });
    expect(turnOf([run("reward_model", null, {}, "failed"), first], 600, 0)).toEqual({ is: "train" });
    const failed = run("ppo", null, { reward_model: "rm-1" }, "cancelled");
    expect(turnOf([failed, judge], 600, 0)).toEqual({ is: "improve", rewardModel: "rm-1" });
  });
});
