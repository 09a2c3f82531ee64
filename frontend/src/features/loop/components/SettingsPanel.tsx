import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { asProblem } from "@/api/problem";
import type { Loop } from "@/api/types";
import { Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { saveLoop } from "../api/loops";
import { type SettingsSchema, sectionsOf, shown, stated } from "../settings";
import { useTexts } from "../texts";
import styles from "./loop.module.css";
import { SettingField } from "./SettingField";

/** The settings of a loop. Before the loop exists, `loop` is null and the form shows the defaults. */
export function SettingsPanel({
  slug,
  loop,
  schema,
  save,
}: {
  slug: string;
  loop: Loop | null;
  schema: SettingsSchema;
  save: string;
}) {
  const texts = useTexts();
  const queryClient = useQueryClient();
  const sections = sectionsOf(schema);
  const fields = sections.flatMap((section) => section.fields);
  const defaults = Object.fromEntries(
    Object.entries(schema.properties).map(([name, property]) => [name, property.default]),
  );
  const [values, setValues] = useState(() => shown(fields, loop?.settings ?? defaults));
  const change = useMutation({
    mutationFn: () =>
      saveLoop(slug, { settings: stated(fields, values), ...(loop ? {} : { enabled: false }) }),
    onSuccess: (saved) => {
      queryClient.setQueryData(["loop", slug], saved);
      setValues(shown(fields, saved.settings));
    },
  });
  const reasons = change.isError ? asProblem(change.error).errors : [];
  return (
    <Panel title={texts.settings}>
      {loop && <p className={ui.dim}>{texts.settingsApply}</p>}
      <form
        className={styles.settings}
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate();
        }}
      >
        {sections.map((section) => (
          <fieldset key={section.group} className={styles.section}>
            <legend>{texts.sections[section.group] ?? section.group}</legend>
            {section.fields.map((field) => (
              <SettingField
                key={field.name}
                field={field}
                value={values[field.name] ?? ""}
                error={reasons.find((one) => one.field.split(".")[0] === field.name)?.reason}
                onChange={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
              />
            ))}
          </fieldset>
        ))}
        {change.isError && <ProblemNotice error={change.error} />}
        <div className={ui.actions}>
          <Button type="submit" loading={change.isPending}>
            {save}
          </Button>
        </div>
      </form>
    </Panel>
  );
}
