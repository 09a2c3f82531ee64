import { Checkbox, Group, NativeSelect, Textarea, TextInput } from "@mantine/core";
import { words } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import type { LoopField, LoopValue } from "../settings";
import { useTexts } from "../texts";

/** One setting of the loop as a form field. */
export function SettingField({
  field,
  value,
  error,
  onChange,
}: {
  field: LoopField;
  value: LoopValue;
  error: string | undefined;
  onChange: (value: LoopValue) => void;
}) {
  const texts = useTexts();
  const note = field.kind === "json" ? texts.json : field.kind === "list" ? texts.commas : "";
  const common = {
    label: field.label,
    description: [field.help, note].filter(Boolean).join(" "),
    error: error ?? false,
    name: field.name,
  };
  if (field.kind === "switch") {
    return (
      <Checkbox
        {...common}
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    );
  }
  if (field.kind === "choices") {
    return (
      <Checkbox.Group {...common} value={Array.isArray(value) ? value : []} onChange={onChange}>
        <Group gap="sm" mt={4}>
          {field.choices.map((choice) => (
            <Checkbox key={choice} value={choice} label={kindTitle(choice)} />
          ))}
        </Group>
      </Checkbox.Group>
    );
  }
  const text = typeof value === "string" ? value : "";
  if (field.kind === "choice") {
    const data = field.choices.map((choice) => ({ value: choice, label: words(choice) }));
    return (
      <NativeSelect
        {...common}
        data={data}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  if (field.kind === "json") {
    return (
      <Textarea
        {...common}
        autosize
        minRows={2}
        spellCheck={false}
        value={text}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput
      {...common}
      inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
      value={text}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}
