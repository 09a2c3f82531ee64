import { describe, expect, it } from "vitest";
import {
  boundsOf,
  decimals,
  grouped,
  points,
  type Slice,
  sideOf,
  signed,
  tooSure,
  withBounds,
} from "./figures";

const estimate = (value: number | null, low: number | null, high: number | null) => ({ value, low, high });
const slice = (by: Slice["by"], of: string) => ({ by, of }) as Slice;

describe("a figure in a report", () => {
  it("shows bounds only if they exist", () => {
    const show = (value: number) => value.toFixed(1);
    expect(withBounds(estimate(0.7, 0.6, 0.8), show)).toBe("0.7 (0.6 to 0.8)");
    expect(withBounds(estimate(0.7, null, null), show)).toBe("0.7");
    expect(withBounds(estimate(null, null, null), show)).toBe("–");
    expect(boundsOf(estimate(0.7, 0.6, null), show)).toBe("");
  });

  it("shows percentage points with a real minus sign, but never before zero", () => {
    expect(decimals(-0.1234)).toBe("−0.123");
    expect(decimals(-0.0001)).toBe("0.000");
    expect(signed(0.0004)).toBe("0.000");
    expect(points(0.0661)).toBe("+6.6");
    expect(points(-0.0661)).toBe("−6.6");
  });

  it("reports a difference only if its interval excludes 0", () => {
    expect(sideOf(estimate(0.1, 0.02, 0.2))).toBe("above");
    expect(sideOf(estimate(-0.1, -0.2, -0.02))).toBe("below");
    expect(sideOf(estimate(0.1, -0.02, 0.2))).toBe("unclear");
    expect(sideOf(estimate(0.1, null, null))).toBe("unclear");
  });

  it("reports overconfidence only if the confidence exceeds the upper bound of the accuracy", () => {
    expect(tooSure({ accuracy: estimate(0.7, 0.6, 0.8), confidence: 0.81 })).toBe(true);
    expect(tooSure({ accuracy: estimate(0.7, 0.6, 0.8), confidence: 0.79 })).toBe(false);
    expect(tooSure({ accuracy: estimate(0, null, null), confidence: 0.9 })).toBe(false);
  });

  it("keeps slices in the given order, under a heading for each kind", () => {
    const slices = [slice("length", "shorter"), slice("length", "longer"), slice("round", "0")];
    expect(grouped(slices).map(({ by, of }) => [by, of.map((one) => one.of)])).toEqual([
      ["length", ["shorter", "longer"]],
      ["round", ["0"]],
    ]);
  });
});
