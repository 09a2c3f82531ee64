import { Button, MultiSelect, NativeSelect } from "@mantine/core";
import { useState } from "react";
import type { ImportPreview } from "@/api/types";
import { Notice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import type { ImportOptions, Mapping } from "../upload";
import styles from "./data.module.css";
import { ImportChoices } from "./ImportChoices";
import { TaskPreviews } from "./TaskPreviews";

const IGNORED = "none";

/**
 * The settings of an import: the meaning of a table's columns, the handling of the file's rankings, and the
 * properties of the new tasks.
 */
export function ImportSetup({
  file,
  preview,
  options,
  busy,
  onEdit,
  onApply,
}: {
  file: string;
  preview: ImportPreview;
  options: ImportOptions;
  busy: boolean;
  onEdit: () => void;
  onApply: (options: ImportOptions) => void;
}) {
  const { setup: texts } = useTexts();
  const [mapping, setMapping] = useState<Mapping>({ ...preview.mapping, ...options.mapping });
  const [rest, setRest] = useState(options);
  const isTable = preview.format === "table" || (preview.problem !== "" && preview.columns.length > 0);

  const isRefused = preview.problem !== "" && !isTable;

  function apply() {
    if (busy) return;
    const ignored = rest.votes === "ignore" && isTable;
    const chosen = { ...mapping, ...(ignored ? { vote: IGNORED, direction: "" } : {}) };
    const filled = Object.fromEntries(Object.entries(chosen).filter(([, value]) => value !== ""));
    onApply({ ...rest, mapping: isTable ? filled : {} });
  }

  return (
    <section className={ui.stack} aria-label={texts.title} data-testid="import-setup">
      <div>
        <h3 className={styles.heading}>{file}</h3>
        {preview.title && <p className={ui.dim}>{preview.title}</p>}
      </div>
      {preview.problem && (
        <Notice tone="warn" title={isTable ? texts.problem : texts.refused}>
          <p>{problemText(preview.problem)}</p>
        </Notice>
      )}
      {preview.remembered && <p className={ui.dim}>{texts.remembered}</p>}
      {isTable && (
        <Columns
          preview={preview}
          mapping={mapping}
          onChange={(more) => {
            setMapping({ ...mapping, ...more });
            onEdit();
          }}
        />
      )}
      {!isRefused && (
        <>
          <div className={styles.fields}>
            <ImportChoices
              options={rest}
              onChange={(more) => {
                setRest({ ...rest, ...more });
                onEdit();
              }}
            />
          </div>
          <div className={ui.actions}>
            {/* The button is not disabled, because a disabled button loses the focus. */}
            <Button
              variant="default"
              aria-disabled={busy}
              {...(busy && { "data-disabled": true })}
              onClick={apply}
            >
              {texts.apply}
            </Button>
          </div>
        </>
      )}
      <TaskPreviews tasks={preview.tasks} />
    </section>
  );
}

/**
 * The first line of the problem, without hints for the command line and without the heading of the list of
 * formats, because the page itself lists the formats.
 */
function problemText(problem: string): string {
  const [first = ""] = problem.split("\n");
  return first.replace(/ Known formats:$/, "").replace(/ \(on the command line: [^)]*\)/, "");
}

function Columns({
  preview,
  mapping,
  onChange,
}: {
  preview: ImportPreview;
  mapping: Mapping;
  onChange: (mapping: Mapping) => void;
}) {
  const { setup: texts } = useTexts();
  const columns = preview.columns.map(({ name, example }) => ({
    value: name,
    label: example ? `${name} (${example})` : name,
  }));
  const one = (key: string, label: string, empty: string) => (
    <NativeSelect
      label={label}
      value={mapping[key] ?? ""}
      data={[{ value: "", label: empty }, ...columns]}
      onChange={(event) => onChange({ [key]: event.currentTarget.value })}
    />
  );
  const several = (key: string, label: string, hint: string) => (
    <MultiSelect
      label={label}
      description={hint}
      placeholder={mapping[key] ? undefined : texts.infer}
      value={(mapping[key] ?? "").split(",").filter((name) => name !== "" && name !== IGNORED)}
      data={columns}
      hidePickedOptions
      onChange={(names) => onChange({ [key]: names.join(",") })}
    />
  );
  return (
    <fieldset className={styles.columns}>
      <legend>{texts.columns}</legend>
      {one("prompt", texts.prompt, texts.infer)}
      {several("responses", texts.responses, texts.responsesHint)}
      {several("vote", texts.vote, texts.voteHint)}
      <NativeSelect
        label={texts.direction}
        value={mapping.direction ?? ""}
        data={Object.entries(texts.directions).map(([value, label]) => ({ value, label }))}
        onChange={(event) => onChange({ direction: event.currentTarget.value })}
      />
      {one("system", texts.system, texts.none)}
      {one("annotator", texts.annotator, texts.infer)}
    </fieldset>
  );
}
