import { expect, it } from "vitest";
import type { TimelineRound } from "@/api/types";
import { figuresOf, marksOf } from "./timeline";

const rate = (win_rate: number, answers = 40) => ({
  answers,
  win_rate,
  low: win_rate - 0.1,
  high: win_rate + 0.1,
});
const interval = (value: number) => ({ value, low: value - 0.1, high: value + 0.1 });

const judged = {
  model: { name: "rm-1" },
  incumbent: null,
  state: "passed",
  checks: [
    { name: "accuracy", value: 0.7, low: 0.6, high: 0.8 },
    { name: "calibration", value: 0.1 },
  ],
  comparison: null,
  win_rates: { reward_model: null, gold: null },
};
const compared = (name: string, answers: number) => ({
  model: { name },
  incumbent: { name: "sft-1" },
  state: answers ? "passed" : "open",
  checks: [{ name: "kl", value: 1.5 }],
  comparison: rate(0.75, answers),
  win_rates: { reward_model: rate(0.875), gold: rate(0.625) },
});
const rounds = [
  { id: "a", number: 1, state: "succeeded", gates: [judged, compared("ppo-1", 40)] },
  { id: "b", number: 2, state: "skipped", gates: [] },
  { id: "c", number: 3, state: "running", gates: [judged, compared("dpo-1", 0)] },
] as unknown as TimelineRound[];

it("lists the figures of each round and leaves out skipped rounds and comparisons without answers", () => {
  const [first, last, ...others] = figuresOf(rounds);
  expect(others).toEqual([]);
  expect(first).toEqual({
    id: "a",
    number: 1,
    state: "succeeded",
    accuracy: { value: 0.7, low: 0.6, high: 0.8 },
    policies: [
      {
        model: "ppo-1",
        state: "passed",
        people: interval(0.75),
        rewardModel: interval(0.875),
        gold: interval(0.625),
      },
    ],
  });
  expect(last?.policies.map(({ model, people }) => [model, people])).toEqual([["dpo-1", null]]);
});

it("places the marks of a round side by side around the middle of the round", () => {
  const marks = marksOf(figuresOf(rounds));
  expect(marks.map(({ series }) => series)).toEqual([
    ...["accuracy", "rewardModel", "gold", "people"],
    ...["accuracy", "rewardModel", "gold"],
  ]);
  const places = marks.map(({ x }) => x);
  expect(places.slice(0, 4).map((x) => x.toFixed(3))).toEqual(["-0.225", "-0.075", "0.075", "0.225"]);
  expect(places.slice(4).map((x) => x.toFixed(2))).toEqual(["0.85", "1.00", "1.15"]);
});
