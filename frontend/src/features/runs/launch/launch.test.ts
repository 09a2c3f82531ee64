import { describe, expect, it } from "vitest";
import type { Model } from "@/api/types";
import { defaultValues, fieldsOf, readForm } from "../recipe/fields";
import { en } from "../texts/en";
import { defaultInput, inputsAgain } from "./inputs";
import { arrange, presetOf, valuesFrom, valuesOf } from "./presets";
import { memory, roughTime, weightCount } from "./span";

const fields = fieldsOf({
  properties: {
    seed: { type: "integer", default: 0 },
    steps: { type: "integer", default: 40 },
    rate: { anyOf: [{ type: "number" }, { type: "null" }], default: null },
    keep: { enum: ["best", "last"], default: "best" },
  },
});
const PRESETS = [
  { name: "quick", settings: { steps: 8 } },
  { name: "default", settings: {} },
  { name: "thorough", settings: { steps: 120, rate: 0.1 } },
];

describe("presets", () => {
  it("a preset fills in the form and is recognised from the form's values", () => {
    for (const preset of PRESETS) {
      expect(presetOf(fields, valuesOf(fields, preset), PRESETS)?.name).toBe(preset.name);
    }
    expect(presetOf(fields, { ...defaultValues(fields), steps: "41" }, PRESETS)).toBeUndefined();
  });

  it("only the settings that a preset changes are sent", () => {
    const thorough = valuesFrom(fields, { steps: 120, rate: 0.1, unheardOf: 1 });
    expect(readForm(fields, thorough)).toEqual({ recipe: { steps: 120, rate: 0.1 }, errors: {} });
  });

  it("fields that were empty in an earlier run stay empty", () => {
    expect(valuesFrom(fields, { rate: null, keep: "last" })).toMatchObject({ rate: "", keep: "last" });
  });

  it("common settings come first, in the given order", () => {
    const { first, rest } = arrange(fields, ["keep", "steps", "gone"]);
    expect([first, rest].map((part) => part.map(({ name }) => name))).toEqual([
      ["keep", "steps"],
      ["seed", "rate"],
    ]);
  });
});

const model = (name: string, kind: string, more: Partial<Model> = {}) =>
  ({ id: name, name, kind, stage: "candidate", parent: null, ...more }) as Model;
const parent = (name: string) => ({ parent: { id: name, name } });

describe("the default input", () => {
  const texts = en.launch;
  const MODELS = [
    model("rs-1", "policy", parent("sft-1")),
    model("rm-2", "reward_model", parent("rs-1")),
    model("rm-1", "reward_model", parent("sft-1")),
    model("sft-1", "policy"),
  ];
  const policy = (models: Model[], improves: boolean, chosen: Record<string, string> = {}) =>
    defaultInput("policy", "ppo", { improves_policy: improves }, models, chosen, texts).label;

  it("the default policy to improve is the policy whose responses the reward model was trained on", () => {
    expect(policy(MODELS, true)).toBe("rs-1 (default)");
    expect(policy(MODELS, true, { reward_model: "rm-1" })).toBe("sft-1 (default)");
    expect(policy(MODELS, false, { reward_model: "rm-1" })).toBe("rs-1 (default)");
  });

  it("the production model is preferred, and archived models are never used", () => {
    const promoted = [...MODELS, model("old", "policy", { stage: "production" })];
    expect(policy(promoted, true)).toBe("old (default)");
    const archived = MODELS.map((one) =>
      one.name === "rs-1" ? { ...one, stage: "archived" as const } : one,
    );
    expect(policy(archived, true)).toBe("sft-1 (default)");
  });

  it("shows an explanation if no model is available", () => {
    const empty = { improves_policy: true };
    expect(defaultInput("reward_model", "ppo", empty, [], {}, texts)).toEqual({
      label: "None yet",
      why: en.launch.noRewardModel,
    });
    expect(defaultInput("snapshot", "reward_model", empty, [], {}, texts).label).toBe("Current rankings");
  });
});

it("reuses the inputs of an earlier run while they are available", () => {
  const offered = (input: string) => (input === "policy" ? ["sft-1"] : []);
  const inputs = { policy: "sft-1", reward_model: "rm-1", reward_model_2: "rm-2", snapshot: "" };
  expect(inputsAgain(inputs, offered)).toEqual({
    inputs: { policy: "sft-1" },
    gone: ["rm-1"],
  });
});

describe("estimate figures", () => {
  it("figures are rounded to a precision that the estimate supports", () => {
    expect([2.4, 47, 200, 4000, 9000, 90_000].map(roughTime)).toEqual([
      "2 s",
      "45 s",
      "3 min",
      "67 min",
      "2 h 30 min",
      "25 h",
    ]);
    expect([4.2e8, 1.29e9, 23.9e9, 141e9].map(memory)).toEqual(["420 MB", "1.3 GB", "24 GB", "141 GB"]);
    expect([80_000, 1_257_000, 6e8, 8e9].map(weightCount)).toEqual(["80k", "1.3M", "600M", "8B"]);
  });
});
