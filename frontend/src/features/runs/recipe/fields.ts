/**
 * The launch form of a run, derived from the recipe's JSON Schema. Each setting has one field with help,
 * default and bounds.
 */

import { settingName } from "./names";

type FieldKind = "integer" | "number" | "boolean" | "choice" | "text" | "json";

export type RecipeField = {
  name: string;
  label: string;
  help: string;
  kind: FieldKind;
  default: unknown;
  /** Whether the field can be empty; null is sent for an empty field. */
  optional: boolean;
  required: boolean;
  choices: readonly (string | number)[];
  minimum?: number;
  maximum?: number;
  /** Exclusive bounds: a value equal to a bound is invalid. */
  above?: number;
  below?: number;
  maxLength?: number;
};

/**
 * The user's input by field. Numbers are stored as text, so that an incomplete number is not an error
 * while the user is typing.
 */
export type FormValues = Record<string, string | boolean>;

type Schema = Record<string, unknown>;

const asSchema = (value: unknown): Schema =>
  typeof value === "object" && value !== null ? (value as Schema) : {};
const asNumber = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);

function resolve(schema: Schema, root: Schema): Schema {
  const reference = schema.$ref;
  if (typeof reference !== "string") return schema;
  const name = reference.split("/").at(-1) ?? "";
  const { $ref: _, ...beside } = schema;
  return { ...asSchema(asSchema(root.$defs)[name]), ...beside };
}

export function fieldsOf(root: Schema): RecipeField[] {
  const required = Array.isArray(root.required) ? root.required : [];
  return Object.entries(asSchema(root.properties)).map(([name, raw]) =>
    fieldOf(name, resolve(asSchema(raw), root), root, required.includes(name)),
  );
}

function fieldOf(name: string, outer: Schema, root: Schema, required: boolean): RecipeField {
  const options = Array.isArray(outer.anyOf)
    ? outer.anyOf.map((option) => resolve(asSchema(option), root))
    : [];
  const present = options.filter((option) => option.type !== "null");
  const optional = present.length < options.length;
  const [only] = present;
  // "number or null" becomes a number that can be left empty. A single input cannot represent any other union.
  const schema = present.length === 1 && only ? { ...outer, ...only } : outer;
  const kind = present.length > 1 ? "json" : kindOf(schema);
  const numbers = {
    minimum: asNumber(schema.minimum),
    maximum: asNumber(schema.maximum),
    above: asNumber(schema.exclusiveMinimum),
    below: asNumber(schema.exclusiveMaximum),
    maxLength: asNumber(schema.maxLength),
  };
  return {
    name,
    label: settingName(name),
    help: typeof outer.description === "string" ? outer.description : "",
    kind,
    default: outer.default,
    optional,
    required,
    choices: Array.isArray(schema.enum)
      ? schema.enum
      : schema.const !== undefined
        ? [schema.const as string]
        : [],
    ...Object.fromEntries(Object.entries(numbers).filter(([, value]) => value !== undefined)),
  };
}

function kindOf(schema: Schema): FieldKind {
  if (Array.isArray(schema.enum) || schema.const !== undefined) return "choice";
  switch (schema.type) {
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "string":
      return "text";
    default:
      return "json";
  }
}

/** A setting's value as text for its input field. */
export function shown(field: RecipeField, value: unknown): string | boolean {
  if (field.kind === "boolean") return value === true;
  if (value === undefined || value === null) return "";
  return field.kind === "json" ? JSON.stringify(value) : String(value);
}

export function defaultValues(fields: readonly RecipeField[]): FormValues {
  return Object.fromEntries(fields.map((field) => [field.name, shown(field, field.default)]));
}

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 12 });

/** The bounds in words, such as "1 to 64" or "above 0, at most 5"; empty if there are no bounds. */
export function boundsText({ minimum, maximum, above, below }: RecipeField): string {
  if (minimum !== undefined && maximum !== undefined)
    return `${number.format(minimum)} to ${number.format(maximum)}`;
  return [
    minimum !== undefined && `at least ${number.format(minimum)}`,
    above !== undefined && `above ${number.format(above)}`,
    maximum !== undefined && `at most ${number.format(maximum)}`,
    below !== undefined && `below ${number.format(below)}`,
  ]
    .filter(Boolean)
    .join(", ");
}

type Parsed = { value: unknown } | { error: string };

export function parse(field: RecipeField, typed: string | boolean): Parsed {
  if (typeof typed === "boolean") return { value: typed };
  const text = typed.trim();
  if (text === "") {
    if (field.optional) return { value: null };
    if (field.kind === "text" && !field.required) return { value: "" };
    return { error: "A value is required." };
  }
  switch (field.kind) {
    case "integer":
    case "number":
      return parseNumber(field, text);
    case "choice": {
      const choice = field.choices.find((option) => String(option) === text);
      return choice === undefined
        ? { error: `Choose one of ${field.choices.join(", ")}.` }
        : { value: choice };
    }
    case "json":
      try {
        return { value: JSON.parse(text) as unknown };
      } catch {
        return { error: "This is not valid JSON." };
      }
    default:
      return field.maxLength !== undefined && text.length > field.maxLength
        ? { error: `At most ${field.maxLength} characters.` }
        : { value: text };
  }
}

function parseNumber(field: RecipeField, text: string): Parsed {
  const value = Number(text);
  if (!Number.isFinite(value)) return { error: "This is not a number." };
  if (field.kind === "integer" && !Number.isInteger(value)) return { error: "This must be a whole number." };
  const inside =
    value >= (field.minimum ?? Number.NEGATIVE_INFINITY) &&
    value <= (field.maximum ?? Number.POSITIVE_INFINITY) &&
    (field.above === undefined || value > field.above) &&
    (field.below === undefined || value < field.below);
  return inside ? { value } : { error: `Allowed: ${boundsText(field)}.` };
}

export type Outcome = { recipe: Record<string, unknown>; errors: Record<string, string> };

/**
 * The valid settings that differ from their defaults, and the errors in the invalid settings. The server
 * fills in defaults.
 */
export function readForm(fields: readonly RecipeField[], values: FormValues): Outcome {
  const outcome: Outcome = { recipe: {}, errors: {} };
  for (const field of fields) {
    const typed = values[field.name] ?? shown(field, field.default);
    const untouched = !field.required && typed === shown(field, field.default);
    if (untouched) continue;
    const parsed = parse(field, typed);
    if ("error" in parsed) outcome.errors[field.name] = parsed.error;
    else outcome.recipe[field.name] = parsed.value;
  }
  return outcome;
}
