import { expect, it } from "vitest";
import { kindName, kindTitle } from "./kinds";

it("run kinds have the titles of the launch form", () => {
  expect(["sft", "reward_model", "ppo"].map(kindTitle)).toEqual([
    "Supervised fine-tuning",
    "Reward model",
    "PPO",
  ]);
  expect(`created by a ${kindName("rejection_sampling")} run`).toBe("created by a rejection sampling run");
});
