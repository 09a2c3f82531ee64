import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Run, SampleEvent } from "@/api/types";
import { differences, finalFigures, labelsOf, letterOf, smooth, tableRows } from "./compare";
import { MAX_COMPARED, picked, toggled } from "./pick";
import { type Column, sampleRows, stepsOf } from "./samples";

const run = (more: Partial<Run>) => ({ kind: "ppo", recipe: {}, inputs: {}, result: {}, ...more }) as Run;
const id = (n: number) => `00000000-0000-0000-0000-00000000000${n}`;

describe("the runs in the URL", () => {
  it("duplicate run IDs and values other than IDs are ignored", () => {
    expect(picked(`${id(1)},${id(2)},${id(1)},<script>,,../x`)).toEqual([id(1), id(2)]);
    expect(picked(undefined)).toEqual([]);
    const many = Array.from({ length: 9 }, (_, n) => id(n));
    expect(picked(many.join(","))).toHaveLength(MAX_COMPARED);
  });

  it("runs can be removed, and added up to the maximum", () => {
    expect(toggled([id(1)], id(2))).toEqual([id(1), id(2)]);
    expect(toggled([id(1), id(2)], id(1))).toEqual([id(2)]);
    const full = Array.from({ length: MAX_COMPARED }, (_, n) => id(n));
    expect(toggled(full, id(9))).toEqual(full);
  });
});

describe("a comparison of runs", () => {
  it("shows only differences, including settings that only some of the runs have", () => {
    const { rows, same } = differences([
      run({ recipe: { steps: 40, clip: 0.2, seed: 0 }, inputs: { policy: "sft-1" } }),
      run({ recipe: { steps: 80, clip: 0.2 }, inputs: { policy: "sft-2" } }),
    ]);
    expect(rows).toEqual([
      { name: "input: policy", values: ["sft-1", "sft-2"] },
      { name: "steps", values: [40, 80] },
      { name: "seed", values: [0, undefined] },
    ]);
    expect(same).toBe(2); // The kind and the `clip` setting are the same.
  });

  it("distinguishes null from a missing setting, and compares lists by value", () => {
    const names = (a: object, b: object) =>
      differences([run({ recipe: a as never }), run({ recipe: b as never })]).rows.map((row) => row.name);
    expect(names({ rate: null }, {})).toEqual(["rate"]);
    expect(names({ on: ["q"] }, { on: ["q"] })).toEqual([]);
    expect(names({ on: ["q"] }, { on: ["v"] })).toEqual(["on"]);
  });

  it("leaves gaps for missing final figures", () => {
    const figures = finalFigures(
      [
        run({ result: { metrics: { loss: 1 }, counts: { prompts: 5 } } }),
        run({ result: { metrics: { loss: 2, kl: 3 } } }),
      ],
      (names) => names.sort(),
    );
    expect(figures).toEqual([
      { name: "kl", values: [undefined, 3] },
      { name: "loss", values: [1, 2] },
      { name: "prompts", values: [5, undefined] },
    ]);
  });

  it("labels each run with a letter, followed by the model it created or else by its kind", () => {
    const made = run({ result: { model: { id: "1", name: "demo-ppo-1" } } });
    const labels = labelsOf([made, run({ kind: "sft" })], (kind) => kind.toUpperCase());
    expect(labels).toEqual(["A · demo-ppo-1", "B · SFT"]);
    expect(labels.map(letterOf)).toEqual(["A", "B"]);
  });
});

describe("smoothing", () => {
  const series = (values: number[]) => ({ steps: values.map((_, step) => step), values });

  it("keeps the first value, and changes nothing if the series is constant or the weight is 0", () => {
    expect(smooth(series([4, 0]), 0.5).values[0]).toBe(4);
    expect(smooth(series([3, 3, 3]), 0.9).values.every((value) => Math.abs(value - 3) < 1e-12)).toBe(true);
    expect(smooth(series([1, 5]), 0)).toEqual(series([1, 5]));
    // (0.5·4·0.5 + 0.5·0) / (1 − 0.25)
    expect(smooth(series([4, 0]), 0.5).values[1]).toBeCloseTo(4 / 3);
  });

  it("smoothed values stay within the range of the data", () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 30 }),
        fc.double({ min: 0, max: 0.99, noNaN: true }),
        (values, weight) => {
          const [low, high] = [Math.min(...values), Math.max(...values)];
          const slack = 1e-6 * Math.max(1, Math.abs(low), Math.abs(high));
          for (const value of smooth(series(values), weight).values) {
            expect(value).toBeGreaterThanOrEqual(low - slack);
            expect(value).toBeLessThanOrEqual(high + slack);
          }
        },
      ),
    );
  });
});

describe("a chart as a table", () => {
  const long = {
    steps: Array.from({ length: 100 }, (_, n) => n + 1),
    values: Array.from({ length: 100 }, (_, n) => n),
  };

  it("a short table has a row for every step, with gaps for missing values", () => {
    const rows = tableRows(
      [
        { steps: [1, 2], values: [10, 20] },
        { steps: [2, 5], values: [0, 50] },
      ],
      8,
    );
    expect(rows).toEqual([
      { step: 1, values: [10, undefined] },
      { step: 2, values: [20, 0] },
      { step: 5, values: [undefined, 50] },
    ]);
  });

  it("a long table has the first, the last and evenly spaced steps in between", () => {
    const steps = tableRows([long], 5).map((row) => row.step);
    expect([steps.length, steps[0], steps.at(-1)]).toEqual([5, 1, 100]);
    expect(new Set(steps).size).toBe(5);
  });
});

describe("samples side by side", () => {
  const sample = (seq: number, step: number, prompt: string, after: string): SampleEvent => ({
    seq,
    attempt: 1,
    step,
    prompt: [{ role: "user", content: prompt }],
    before: `before ${prompt}`,
    after,
    scores: { reward_before: 1, reward_after: 2 },
  });
  const samples = [
    sample(1, 0, "a", "x"),
    sample(2, 10, "a", "old"),
    sample(3, 10, "a", "new"),
    sample(4, 20, "b", "z"),
  ];
  const column = (title: string, step: number, of = samples, before = false): Column => ({
    key: title,
    title,
    before,
    step,
    samples: of,
  });

  it("each prompt has a row with its last answer", () => {
    expect(stepsOf(samples)).toEqual([0, 10, 20]);
    const rows = sampleRows([column("Before", -1, samples, true), column("Step 10", 10)], String);
    expect(rows.map((row) => row.answers.map((answer) => answer?.text))).toEqual([
      ["before a", "new"],
      ["before b", undefined],
    ]);
    expect(rows[0]?.answers.map((answer) => answer?.score)).toEqual(["reward 1", "reward 2"]);
  });

  it("an answer shows its reward, its KL and the score of each reward model", () => {
    const scored = {
      ...sample(1, 10, "a", "x"),
      scores: {
        reward_before: 0,
        reward_after: 1,
        kl_after: 5,
        reward_minus_kl_after: -2,
        "rewards/demo_rm-2_after": 3,
        "reward_raw/before_after": 4,
      },
    };
    const [row] = sampleRows([column("Step 10", 10, [scored])], String);
    expect(row?.answers[0]?.score).toBe("reward 1 · KL 5 · reward − β·KL -2 · demo_rm-2 3 · before 4");
  });

  it("samples can be limited to prompts that all runs answered", () => {
    const other = [sample(1, 5, "b", "theirs")];
    const rows = sampleRows([column("A", 20), column("B", 5, other)], String, 2);
    expect(rows.map((row) => row.answers.map((answer) => answer?.text))).toEqual([["z", "theirs"]]);
  });
});
