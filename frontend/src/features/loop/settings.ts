import { words } from "@/shared/format";

/**
 * The loop's settings as form fields. The fields come from the JSON Schema of the API, so a new setting needs no
 * change here.
 */

type Branch = {
  type?: string;
  enum?: string[];
  items?: Branch;
  $ref?: string;
  additionalProperties?: unknown;
};
type Property = Branch & {
  anyOf?: Branch[];
  title?: string;
  group?: string;
  description?: string;
  default?: unknown;
};
export type SettingsSchema = { properties: Record<string, Property> };

export type LoopField = {
  name: string;
  label: string;
  help: string;
  kind: "integer" | "number" | "text" | "switch" | "choice" | "choices" | "list" | "json";
  choices: string[];
  /** Whether the field may be empty. */
  optional: boolean;
};
export type LoopValue = string | string[] | boolean;
export type LoopValues = Record<string, LoopValue>;
export type LoopSection = { group: string; fields: LoopField[] };

/** The fields in sections, in the order in which the schema first names each section. */
export function sectionsOf(schema: SettingsSchema): LoopSection[] {
  const sections = new Map<string, LoopField[]>();
  for (const [name, property] of Object.entries(schema.properties)) {
    const group = property.group ?? "";
    sections.set(group, [...(sections.get(group) ?? []), fieldOf(name, property)]);
  }
  return [...sections].map(([group, fields]) => ({ group, fields }));
}

export function fieldsOf(schema: SettingsSchema): LoopField[] {
  return Object.entries(schema.properties).map(([name, property]) => fieldOf(name, property));
}

function fieldOf(name: string, property: Property): LoopField {
  const branches = property.anyOf ?? [property];
  const optional = branches.some(({ type }) => type === "null") || property.default === "";
  const branch = branches.find(({ type }) => type !== "null") ?? {};
  const help = property.description ?? "";
  const label = property.title ?? words(name);
  const common = { name, label, help, optional, choices: branch.enum ?? branch.items?.enum ?? [] };
  if (branch.enum) return { ...common, kind: "choice" };
  if (branch.type === "array") return { ...common, kind: branch.items?.enum ? "choices" : "list" };
  if (branch.type === "integer" || branch.type === "number") return { ...common, kind: branch.type };
  if (branch.type === "boolean") return { ...common, kind: "switch" };
  return { ...common, kind: branch.type === "object" ? "json" : "text" };
}

/** The form's values for stored settings. */
export function shown(fields: readonly LoopField[], settings: Record<string, unknown>): LoopValues {
  return Object.fromEntries(fields.map((field) => [field.name, shownValue(field, settings[field.name])]));
}

function shownValue({ kind }: LoopField, value: unknown): LoopValue {
  if (kind === "switch") return value === true;
  if (kind === "choices") return (value as string[] | undefined) ?? [];
  if (kind === "list") return ((value as string[] | undefined) ?? []).join(", ");
  if (kind === "json") return JSON.stringify(value ?? {}, null, 2);
  return value === null || value === undefined ? "" : String(value);
}

/**
 * Converts a form's values to settings. Text that can't be parsed as the required number or JSON is sent
 * unchanged, and the API explains the error.
 */
export function stated(fields: readonly LoopField[], values: LoopValues): Record<string, unknown> {
  return Object.fromEntries(fields.map((field) => [field.name, statedValue(field, values[field.name])]));
}

function statedValue({ kind, optional }: LoopField, value: LoopValue | undefined): unknown {
  if (Array.isArray(value) || typeof value === "boolean") return value;
  const text = (value ?? "").trim();
  if (kind === "list") return text.split(",").flatMap((part) => part.trim() || []);
  if (kind === "json") return parsed(text);
  if (kind !== "integer" && kind !== "number") return text;
  if (text === "") return optional ? null : text;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
