import { Button } from "@mantine/core";
import { useState } from "react";
import type { RecipeKind } from "@/api/types";
import { Panel } from "@/shared/ui";
import { defaultValues, type FormValues, type RecipeField, shown } from "../recipe/fields";
import { useTexts } from "../texts";
import styles from "./launch.module.css";
import { arrange, presetOf, valuesOf } from "./presets";
import { Setting } from "./Setting";

/** The presets, followed by the common settings and then by all other settings. */
export function SettingsPanel({
  fields,
  recipe,
  values,
  onValues,
  errorOf,
  suspects,
  hints,
}: {
  fields: readonly RecipeField[];
  recipe: RecipeKind;
  values: FormValues;
  onValues: (values: FormValues) => void;
  errorOf: (name: string) => string | undefined;
  /** Settings that may have caused an earlier run's failure. */
  suspects: readonly string[];
  /** Hints specific to the project, by the name of the setting. */
  hints: Readonly<Record<string, string | undefined>>;
}) {
  const texts = useTexts().launch;
  const { first, rest } = arrange(fields, recipe.common);
  const isChanged = (field: RecipeField) => values[field.name] !== shown(field, field.default);
  const changed = rest.filter(isChanged).length;
  const wrong = rest.some((field) => errorOf(field.name) !== undefined);
  // The section with the other settings is initially open if one of these settings was changed or may have
  // caused a failure. The section also opens when one of these settings becomes invalid.
  const [open, setOpen] = useState(() => changed > 0 || rest.some((field) => suspects.includes(field.name)));
  const current = presetOf(fields, values, recipe.presets);

  const settings = (some: readonly RecipeField[]) => (
    <div className={styles.settings}>
      {some.map((field) => (
        <Setting
          key={field.name}
          field={field}
          value={values[field.name] ?? ""}
          error={errorOf(field.name)}
          suspect={suspects.includes(field.name)}
          hint={hints[field.name]}
          onChange={(value) => onValues({ ...values, [field.name]: value })}
        />
      ))}
    </div>
  );

  return (
    <Panel
      title={texts.settings}
      aside={
        fields.some(isChanged) && (
          <Button size="compact-xs" variant="subtle" onClick={() => onValues(defaultValues(fields))}>
            {texts.reset}
          </Button>
        )
      }
    >
      <fieldset className={styles.presets}>
        <legend>
          {texts.presets}
          {!current && <span className={styles.own}>{texts.own}</span>}
        </legend>
        {recipe.presets.map((preset) => (
          <label key={preset.name} className={styles.preset} data-checked={preset.name === current?.name}>
            <input
              type="radio"
              name="preset"
              value={preset.name}
              checked={preset.name === current?.name}
              onChange={() => onValues(valuesOf(fields, preset))}
            />
            <span>
              <b>{preset.title}</b>
              <span className={styles.about}>{preset.description}</span>
            </span>
          </label>
        ))}
      </fieldset>
      {settings(first)}
      {rest.length > 0 && (
        <details
          className={styles.advanced}
          open={open || wrong}
          onToggle={(event) => setOpen(event.currentTarget.open)}
        >
          <summary>{changed > 0 ? texts.moreChanged(rest.length, changed) : texts.more(rest.length)}</summary>
          {settings(rest)}
        </details>
      )}
    </Panel>
  );
}
