import type { RunPreset } from "@/api/types";
import { defaultValues, type FormValues, type RecipeField, shown } from "../recipe/fields";

/** The form values of a preset, with defaults for all other settings. */
export function valuesOf(fields: readonly RecipeField[], preset: Pick<RunPreset, "settings">): FormValues {
  return valuesFrom(fields, preset.settings as Record<string, unknown>);
}

/**
 * The form values for the settings of a preset or an earlier run, with defaults for all other settings.
 * Settings that the recipe no longer has are ignored.
 */
export function valuesFrom(fields: readonly RecipeField[], settings: Record<string, unknown>): FormValues {
  const given = fields.filter((field) => field.name in settings);
  return {
    ...defaultValues(fields),
    ...Object.fromEntries(given.map((field) => [field.name, shown(field, settings[field.name])])),
  };
}

/** The preset with exactly these settings; undefined if no preset matches. */
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

/** The common settings in the given order, followed by the other settings in schema order. */
export function arrange(
  fields: readonly RecipeField[],
  common: readonly string[],
): { first: RecipeField[]; rest: RecipeField[] } {
  const named = common.flatMap((name) => fields.filter((field) => field.name === name));
  return { first: named, rest: fields.filter((field) => !common.includes(field.name)) };
}
