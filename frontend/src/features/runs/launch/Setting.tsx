import { Checkbox, NativeSelect, TextInput } from "@mantine/core";
import { boundsText, type RecipeField, shown } from "../recipe/fields";
import { choiceName, withChoiceNames } from "../recipe/names";
import { useTexts } from "../texts";
import styles from "./launch.module.css";

/** One setting of a recipe as a form field. */
export function Setting({
  field,
  value,
  error,
  suspect,
  hint,
  onChange,
}: {
  field: RecipeField;
  value: string | boolean;
  error: string | undefined;
  /** Whether this setting may have caused an earlier run's failure. */
  suspect: boolean;
  /** A hint specific to the project, such as the names of its reward models. */
  hint: string | undefined;
  onChange: (value: string | boolean) => void;
}) {
  const texts = useTexts().launch;
  const changed = value !== shown(field, field.default);
  const label = (
    <span className={changed ? styles.changed : undefined}>
      {field.label}
      {suspect && <span className={styles.suspect}>{texts.lookAt}</span>}
    </span>
  );
  const bounds = boundsText(field);
  const description = [
    withChoiceNames(field.help, field.choices.map(String)),
    field.kind === "json" && texts.asJson,
    bounds && texts.allowed(bounds),
    hint,
  ]
    .filter(Boolean)
    .join(" ");
  const common = { label, description, error: error ?? false, name: field.name };
  if (field.kind === "boolean") {
    return (
      <Checkbox
        {...common}
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    );
  }
  if (field.kind === "choice") {
    const data = field.choices.map(String).map((value) => ({ value, label: choiceName(value) }));
    return (
      <NativeSelect
        {...common}
        data={field.optional ? [{ value: "", label: "" }, ...data] : data}
        value={String(value)}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput
      {...common}
      inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
      placeholder={field.optional ? texts.empty : ""}
      value={String(value)}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
