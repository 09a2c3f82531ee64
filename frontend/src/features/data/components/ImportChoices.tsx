import { NativeSelect, NumberInput } from "@mantine/core";
import { useTexts } from "../texts";
import type { ImportOptions } from "../upload";

/** Fields for the handling of the file's rankings and for the properties of the new tasks. */
export function ImportChoices({
  options,
  onChange,
}: {
  options: ImportOptions;
  onChange: (options: Partial<ImportOptions>) => void;
}) {
  const { setup: texts } = useTexts();
  return (
    <>
      <NativeSelect
        label={texts.votes}
        value={options.votes}
        data={Object.entries(texts.votesChoices).map(([value, label]) => ({ value, label }))}
        onChange={(event) => onChange({ votes: event.currentTarget.value as ImportOptions["votes"] })}
      />
      <NumberInput
        label={texts.overlap}
        placeholder={texts.overlapDefault}
        min={1}
        value={options.overlap ?? ""}
        onChange={(value) => onChange({ overlap: typeof value === "number" ? value : null })}
      />
      <NumberInput
        label={texts.responsesPerTask}
        description={texts.responsesPerTaskHint}
        placeholder={texts.responsesPerTaskDefault}
        min={2}
        max={10}
        value={options.responsesPerTask ?? ""}
        onChange={(value) => onChange({ responsesPerTask: typeof value === "number" ? value : null })}
      />
      <NumberInput
        label={texts.round}
        min={0}
        value={options.round}
        onChange={(value) => onChange({ round: Number(value) || 0 })}
      />
      <NumberInput
        label={texts.priority}
        value={options.priority}
        onChange={(value) => onChange({ priority: Number(value) || 0 })}
      />
    </>
  );
}
