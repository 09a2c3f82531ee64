import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { applyEvents, EMPTY_FEED, latest, type RunEvent } from "./feed";
import { curvesAndValues, groupMetrics } from "./groups";

const metrics = (seq: number, step: number, values: Record<string, number>, attempt = 1): RunEvent => ({
  type: "metrics",
  data: { seq, attempt, step, values },
});

describe("a run's feed", () => {
  it("collects each metric as a series over steps", () => {
    const feed = applyEvents(EMPTY_FEED, [
      metrics(1, 1, { loss: 0.9 }),
      metrics(2, 2, { loss: 0.7, accuracy: 0.6 }),
    ]);
    expect(feed.series.loss).toEqual({ steps: [1, 2], values: [0.9, 0.7] });
    expect(feed.series.accuracy).toEqual({ steps: [2], values: [0.6] });
    expect(latest(feed.series.loss)).toBe(0.7);
    expect(feed.lastMetricsSeq).toBe(2);
  });

  it("counts each event once, whether streamed, polled or replayed", () => {
    const events = [metrics(1, 1, { loss: 1 }), metrics(2, 2, { loss: 2 })];
    const once = applyEvents(EMPTY_FEED, events);
    expect(applyEvents(once, events).series).toEqual(once.series);
    expect(applyEvents(once, [...events, metrics(3, 3, { loss: 3 })]).series.loss?.steps).toEqual([1, 2, 3]);
  });

  it("replaces the values of the steps that a resumed run repeats", () => {
    const first = applyEvents(
      EMPTY_FEED,
      [1, 2, 3, 4].map((step) => metrics(step, step, { loss: step })),
    );
    const resumed = applyEvents(first, [metrics(5, 3, { loss: 30 }, 2)]);
    expect(resumed.series.loss).toEqual({ steps: [1, 2, 3, 4], values: [1, 2, 30, 4] });
    expect(resumed.attempt).toBe(2);
  });

  it("keeps the newest progress and all samples, and counts state changes", () => {
    const feed = applyEvents(EMPTY_FEED, [
      {
        type: "progress",
        data: { seq: 1, attempt: 1, phase: "train", step: 4, total_steps: 40, eta_seconds: 9 },
      },
      {
        type: "progress",
        data: { seq: 2, attempt: 1, phase: "train", step: 5, total_steps: 40, eta_seconds: 8 },
      },
      {
        type: "sample",
        data: { seq: 3, attempt: 1, step: 5, prompt: [], before: "a", after: "b", scores: {} },
      },
      { type: "state", data: { seq: 4, attempt: 1 } },
    ]);
    expect(feed.progress).toMatchObject({ step: 5, eta_seconds: 8 });
    expect(feed.samples).toHaveLength(1);
    expect(feed.stateChanges).toBe(1);
  });

  it("adding events does not change the previous feed", () => {
    const feed = applyEvents(EMPTY_FEED, [metrics(1, 1, { loss: 1 })]);
    const before = structuredClone(feed.series);
    applyEvents(feed, [metrics(2, 2, { loss: 2 })]);
    expect(feed.series).toEqual(before);
    expect(EMPTY_FEED.series).toEqual({});
  });

  it("batched and single events result in the same ordered series", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.float({ noNaN: true })), { maxLength: 40 }),
        (points) => {
          const events = points.map(([step, value], index) => metrics(index + 1, step, { loss: value }));
          const atOnce = applyEvents(EMPTY_FEED, events);
          const oneByOne = events.reduce((feed, event) => applyEvents(feed, [event]), EMPTY_FEED);
          expect(oneByOne.series).toEqual(atOnce.series);
          const steps = atOnce.series.loss?.steps ?? [];
          expect(steps.every((step, index) => index === 0 || step > (steps[index - 1] ?? 0))).toBe(true);
        },
      ),
    );
  });
});

describe("groups of metrics", () => {
  const titles = (names: string[]) =>
    Object.fromEntries(groupMetrics(names).map((group) => [group.title, group.names]));

  it("each group contains metrics of one kind", () => {
    expect(
      titles([
        "loss",
        "heldout/loss",
        "accuracy",
        "heldout/accuracy",
        "reward/mean",
        "objective/scores",
        "frac_reward_zero_std",
        "objective/kl",
        "policy/approxkl",
        "kl_coefficient",
        "objective/entropy",
        "policy/entropy_avg",
        "lengths/response_mean",
        "eos_rate",
        "val/num_eos_tokens",
        "learning_rate",
        "lr",
        "grad_norm",
      ]),
    ).toEqual({
      Loss: ["heldout/loss", "loss"],
      Accuracy: ["accuracy", "heldout/accuracy"],
      Reward: ["objective/scores", "reward/mean"],
      "Prompts with equal rewards": ["frac_reward_zero_std"],
      "KL to the reference": ["objective/kl"],
      "Update size": ["policy/approxkl"],
      "KL coefficient": ["kl_coefficient"],
      "Entropy per response": ["objective/entropy"],
      Entropy: ["policy/entropy_avg"],
      Length: ["lengths/response_mean"],
      "Finished responses": ["eos_rate"],
      "Number of finished responses": ["val/num_eos_tokens"],
      "Learning rate": ["learning_rate", "lr"],
      "Gradient norm": ["grad_norm"],
    });
  });

  it("a metric that was reported once is listed with its value, without a curve", () => {
    const series = {
      loss: { steps: [1, 2], values: [3, 2] },
      heldout_loss: { steps: [2], values: [2.5] },
      eos_rate: { steps: [64], values: [0.9] },
    };
    const { curves, values } = curvesAndValues(groupMetrics(Object.keys(series)), series);
    expect(curves.map(({ names }) => names)).toEqual([["heldout_loss", "loss"]]);
    expect(values).toEqual([{ name: "eos_rate", value: 0.9 }]);
  });

  it("metrics of several reward models are grouped by unit, not by model name", () => {
    const name = "rewards/kl_coef-loss";
    expect(titles([`${name}/mean`, `${name}/floor`, `${name}/multiplier`, `${name}/refused`])).toEqual({
      "Reward models": [`${name}/floor`, `${name}/mean`],
      "Floor multipliers": [`${name}/multiplier`],
      "Truncated and refused answers": [`${name}/refused`],
    });
  });

  it("shares, counts, rewards and raw rewards are in separate charts", () => {
    expect(titles(["finished_share", "unfinished_prompts", "reward_mean", "reward_raw/rm-1"])).toEqual({
      Reward: ["reward_mean"],
      "Finished responses": ["finished_share"],
      "Unfinished prompts": ["unfinished_prompts"],
      "Raw rewards": ["reward_raw/rm-1"],
    });
  });

  it("the metrics of DPO are grouped by scale", () => {
    expect(
      titles([
        "loss",
        "heldout/loss",
        "nll_loss",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "rewards/accuracies",
        "heldout/accuracy",
        "heldout/margins",
        "logps/chosen",
        "logps/rejected",
      ]),
    ).toEqual({
      Loss: ["heldout/loss", "loss", "nll_loss"],
      Reward: ["heldout/margins", "rewards/chosen", "rewards/margins", "rewards/rejected"],
      Accuracy: ["heldout/accuracy", "rewards/accuracies"],
      "Log-probability": ["logps/chosen", "logps/rejected"],
    });
  });

  it("groups have a fixed order; each unknown metric has its own group", () => {
    const groups = groupMetrics(["zeta", "loss", "reward/mean"]);
    expect(groups.map((group) => group.title)).toEqual(["Reward", "Loss", "Zeta"]);
    expect(groups.at(-1)?.detail).toBe(true);
  });
});
