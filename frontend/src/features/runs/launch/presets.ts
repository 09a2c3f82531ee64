import type { RunPreset } from "@/api/types";
import { defaultValues, type FormValues, type RecipeField, shown } from "../recipe/fields";

/** The form as the preset has it: every other setting at its default. */
export function valuesOf(fields: readonly RecipeField[], preset: Pick<RunPreset, "settings">): FormValues {
  return valuesFrom(fields, preset.settings as Record<string, unknown>);
}

/** The form filled with settings by name, of a preset or of an earlier run; what a recipe no longer has is left out. */
export function valuesFrom(fields: readonly RecipeField[], settings: Record<string, unknown>): FormValues {
  const given = fields.filter((field) => field.name in settings);
  return {
    ...defaultValues(fields),
    ...Object.fromEntries(given.map((field) => [field.name, shown(field, settings[field.name])])),
  };
}

/** The preset whose settings these are to the last one; undefined where something else was set. */
export function presetOf<P extends Pick<RunPreset, "settings">>(
  fields: readonly RecipeField[],
  values: FormValues,
  presets: readonly P[],
): P | undefined {
  return presets.find((preset) => {
    const wanted = valuesOf(fields, preset);
    return fields.every((field) => (values[field.name] ?? "") === (wanted[field.name] ?? ""));
  });
}

/** The settings that come first, in their order, and the rest in the schema's. */
export function arrange(
  fields: readonly RecipeField[],
  common: readonly string[],
): { first: RecipeField[]; rest: RecipeField[] } {
  const named = common.flatMap((name) => fields.filter((field) => field.name === name));
  return { first: named, rest: fields.filter((field) => !common.includes(field.name)) };
}
