import { describe, expect, it } from "vitest";
import { placed, scaleOf } from "./interval";
import { loadLine } from "./loading";

describe("the line of code that loads a model", () => {
  it("the loading code uses the class for the model's kind", () => {
    expect(loadLine({ kind: "policy", weights: "full", folder: "/srv/models/demo-sft-1" })).toBe(
      'from transformers import AutoModelForCausalLM; model = AutoModelForCausalLM.from_pretrained("/srv/models/demo-sft-1")',
    );
    expect(loadLine({ kind: "reward_model", weights: "full", folder: "/x" })).toContain(
      "AutoModelForSequenceClassification",
    );
  });

  it("loads an adapter with PEFT and sets one output", () => {
    expect(loadLine({ kind: "reward_model", weights: "adapter", folder: "/x" })).toBe(
      'from peft import AutoPeftModelForSequenceClassification; model = AutoPeftModelForSequenceClassification.from_pretrained("/x", num_labels=1)',
    );
  });

  it("escapes quotes in the folder name", () => {
    expect(loadLine({ kind: "policy", weights: "full", folder: '/a"); evil("' })).toContain(
      '("/a\\"); evil(\\"")',
    );
  });
});

describe("intervals on one scale", () => {
  it("the scale includes 0 and every interval", () => {
    const spans = [
      { low: 0.2, middle: 0.4, high: 0.6 },
      { low: -0.1, middle: 0.1, high: 0.3 },
    ];
    const scale = scaleOf(spans);
    for (const span of spans) {
      const { low, middle, high, zero } = placed(span, scale);
      expect(low).toBeGreaterThan(0);
      expect(high).toBeLessThan(1);
      expect([low, middle, high]).toEqual([low, middle, high].sort((a, b) => a - b));
      expect(zero).toBeCloseTo(-scale.low / (scale.high - scale.low));
    }
  });

  it("an empty list of intervals results in a valid scale", () => {
    const scale = scaleOf([]);
    expect(scale.high).toBeGreaterThan(scale.low);
    expect(placed({ low: 0, middle: 0, high: 0 }, scale).zero).toBeCloseTo(0.5);
  });
});
