import { describe, expect, it } from "vitest";
import { bestOf } from "./bestOf";
import { applyEvents, EMPTY_FEED, type RunEvent } from "./feed";
import { groupMetrics } from "./groups";

const selection = (seq: number, step: number, values: Record<string, number>): RunEvent => ({
  type: "metrics",
  data: { seq, attempt: 1, step, values },
});
const FIRST = { "best_of/1": 0.1, "best_of/2": 0.5, "kl_best_of/1": 0, "kl_best_of/2": 0.19, kept: 4 };

describe("the best-of-n curve", () => {
  it("shows the newest round and has its own chart", () => {
    const later = { ...FIRST, "best_of/1": 0.7, "best_of/2": 0.9, "gold_best_of/1": 1, "gold_best_of/2": 2 };
    const feed = applyEvents(EMPTY_FEED, [selection(1, 3, FIRST), selection(2, 9, later)]);
    expect(bestOf(feed)).toEqual({
      reward: { steps: [0, 0.19], values: [0.7, 0.9] },
      gold: { steps: [0, 0.19], values: [1, 2] },
      most: 2,
    });
    expect(groupMetrics(Object.keys(feed.series)).flatMap((group) => group.names)).toEqual(["kept"]);
  });

  it("has no gold curve if the gold reward is unknown, and no curve before the first selection", () => {
    expect(bestOf(applyEvents(EMPTY_FEED, [selection(1, 3, FIRST)]))?.gold).toBeNull();
    expect(bestOf(EMPTY_FEED)).toBeNull();
  });
});
