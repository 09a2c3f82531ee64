import { describe, expect, it } from "vitest";
import { boundsText, defaultValues, fieldsOf, parse, type RecipeField, readForm } from "./fields";

/** Settings in Pydantic's schema format: bounds, an optional number, a choice, a referenced enum, a list. */
const SCHEMA = {
  type: "object",
  additionalProperties: false,
  required: ["name"],
  $defs: { Schedule: { enum: ["linear", "constant"], type: "string", title: "Schedule" } },
  properties: {
    name: { type: "string", maxLength: 8, description: "The name of the model." },
    steps: { type: "integer", default: 40, minimum: 1, maximum: 100, description: "Rollouts." },
    learning_rate: { type: "number", default: 0.0001, exclusiveMinimum: 0, maximum: 1 },
    kl_target: {
      anyOf: [{ type: "number", exclusiveMinimum: 0 }, { type: "null" }],
      default: null,
      title: "Kl",
    },
    schedule: { $ref: "#/$defs/Schedule", default: "linear" },
    whiten: { type: "boolean", default: true },
    base_model: { type: "string", default: "" },
    targets: {
      anyOf: [{ type: "array", items: { type: "string" } }, { type: "string" }],
      default: ["q", "v"],
    },
  },
};

const fields = fieldsOf(SCHEMA);
const field = (name: string) => fields.find((candidate) => candidate.name === name) as RecipeField;
const error = (name: string, typed: string) => {
  const parsed = parse(field(name), typed);
  return "error" in parsed ? parsed.error : null;
};

describe("a recipe's form", () => {
  it("has a field for each setting in schema order, with help and bounds", () => {
    expect(fields.map(({ name, kind }) => [name, kind])).toEqual([
      ["name", "text"],
      ["steps", "integer"],
      ["learning_rate", "number"],
      ["kl_target", "number"],
      ["schedule", "choice"],
      ["whiten", "boolean"],
      ["base_model", "text"],
      ["targets", "json"],
    ]);
    expect(field("steps")).toMatchObject({ label: "Steps", help: "Rollouts.", default: 40 });
    expect(boundsText(field("steps"))).toBe("1 to 100");
    expect(boundsText(field("learning_rate"))).toBe("above 0, at most 1");
    expect(field("kl_target")).toMatchObject({ label: "KL target", optional: true });
    expect(field("schedule").choices).toEqual(["linear", "constant"]);
  });

  it("shows the defaults", () => {
    expect(defaultValues(fields)).toEqual({
      name: "",
      steps: "40",
      learning_rate: "0.0001",
      kl_target: "",
      schedule: "linear",
      whiten: true,
      base_model: "",
      targets: '["q","v"]',
    });
  });

  it("sends only changed settings", () => {
    const values = { ...defaultValues(fields), name: "x", steps: "10", kl_target: "6", whiten: false };
    expect(readForm(fields, values)).toEqual({
      recipe: { name: "x", steps: 10, kl_target: 6, whiten: false },
      errors: {},
    });
  });

  it("requires a value for each setting without a default", () => {
    expect(readForm(fields, defaultValues(fields)).errors).toEqual({ name: "A value is required." });
  });

  it("explains the error in each invalid value", () => {
    expect(error("steps", "0")).toBe("Allowed: 1 to 100.");
    expect(error("steps", "2.5")).toBe("This must be a whole number.");
    expect(error("steps", "many")).toBe("This is not a number.");
    expect(error("steps", "")).toBe("A value is required.");
    expect(error("learning_rate", "0")).toBe("Allowed: above 0, at most 1.");
    expect(error("learning_rate", "1e-6")).toBeNull();
    expect(error("kl_target", "-1")).toBe("Allowed: above 0.");
    expect(error("schedule", "cosine")).toBe("Choose one of linear, constant.");
    expect(error("targets", "[")).toBe("This is not valid JSON.");
    expect(error("name", "much too long")).toBe("At most 8 characters.");
  });

  it("sends null for an optional value that was cleared", () => {
    const optional = { ...field("kl_target"), default: 6 };
    expect(readForm([optional], { kl_target: "" }).recipe).toEqual({ kl_target: null });
  });

  it("handles an empty schema", () => {
    expect(fieldsOf({})).toEqual([]);
  });
});
