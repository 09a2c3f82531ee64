import { describe, expect, it } from "vitest";
import { figureName } from "./figures";
import { bytes } from "./format";

describe("metric names and values", () => {
  it.each([
    ["objective/kl", "KL to the reference"],
    ["objective_kl_first", "KL to the reference, first step"],
    ["loss/value_avg", "Value loss"],
    ["anything_first", "Anything first"],
    ["heldout/accuracy", "Held-out accuracy"],
    ["heldout_loss", "Held-out loss"],
    ["heldout/best_of_4", "Held-out best of 4"],
    ["reward_model/mean", "Mean score"],
    ["gold/finished_share", "Finished responses"],
  ])("the metric %s is shown as %s", (name, called) => expect(figureName(name)).toBe(called));
});

it("sizes have the largest unit that fits", () => {
  expect([999, 1_500, 2_340_000, 25_276_000_000].map(bytes)).toEqual([
    "999 B",
    "1.5 kB",
    "2.3 MB",
    "25.3 GB",
  ]);
});
