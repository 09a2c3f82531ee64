import { expect, test } from "vitest";
import { fieldsOf, sectionsOf, shown, stated } from "./settings";

const schema = {
  properties: {
    min_new_comparisons: {
      anyOf: [{ type: "integer" }, { type: "null" }],
      default: 200,
      description: "Start",
    },
    schedule_time: { type: "string", default: "" },
    improve_with: { type: "array", items: { enum: ["dpo", "ppo"], type: "string" } },
    gate_annotators: { type: "array", items: { type: "string" } },
    policy_gate: { enum: ["human", "off"], type: "string", default: "human" },
    gate_days: { type: "number", default: 7 },
    recipes: { type: "object", additionalProperties: {} },
    ask_after_stop: { type: "boolean", default: true, title: "Ask after a stop" },
  },
};

test("each setting becomes the form field that fits its type", () => {
  expect(fieldsOf(schema).map(({ name, kind, optional }) => [name, kind, optional])).toEqual([
    ["min_new_comparisons", "integer", true],
    ["schedule_time", "text", true],
    ["improve_with", "choices", false],
    ["gate_annotators", "list", false],
    ["policy_gate", "choice", false],
    ["gate_days", "number", false],
    ["recipes", "json", false],
    ["ask_after_stop", "switch", false],
  ]);
});

test("the settings read from a form equal the settings shown in the form", () => {
  const settings = {
    min_new_comparisons: null,
    schedule_time: "02:30",
    improve_with: ["ppo"],
    gate_annotators: ["ada", "bo"],
    policy_gate: "human",
    gate_days: 2.5,
    recipes: { ppo: { steps: 40 } },
    ask_after_stop: false,
  };
  const fields = fieldsOf(schema);
  expect(stated(fields, shown(fields, settings))).toEqual(settings);
});

test("text that is not a number is sent unchanged, so that the API can refuse it", () => {
  const fields = fieldsOf(schema);
  const values = { ...shown(fields, {}), min_new_comparisons: "many", recipes: "{" };
  expect(stated(fields, values)).toMatchObject({ min_new_comparisons: "many", recipes: "{" });
});

test("fields are in the sections of the schema and have its labels", () => {
  const property = (group: string, title?: string) => ({ type: "integer", group, ...(title && { title }) });
  const properties = {
    min_new_comparisons: property("start", "New comparisons"),
    max_rounds: property("budgets"),
    hour: property("start"),
  };
  expect(
    sectionsOf({ properties }).map(({ group, fields }) => [group, ...fields.map(({ label }) => label)]),
  ).toEqual([
    ["start", "New comparisons", "Hour"],
    ["budgets", "Max rounds"],
  ]);
});
