import { Button, NativeSelect } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useDeferredValue, useMemo, useReducer, useState } from "react";
import type { Project } from "@/api/types";
import { SaveBar } from "@/shared/fields/SaveBar";
import { UnsavedGuard } from "@/shared/fields/UnsavedGuard";
import { projectQuery } from "@/shared/session";
import { Notice, Page, ProblemNotice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { SettingsNav } from "@/shared/ui/SettingsNav";
import { presets, saveForm } from "../api/forms";
import { EditorProvider } from "../context";
import { editForm, isChanged, isOvertaken, noLongerAsked, openEditor } from "../editor";
import { useTexts } from "../texts";
import { type FormCheck, useFormCheck } from "../useFormCheck";
import { DeskPreview } from "./DeskPreview";
import styles from "./forms.module.css";
import { JsonDialog } from "./JsonDialog";
import { Sections } from "./Sections";

export function FormPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/settings/form" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  return (
    <Page title={t.title} lead={t.lead}>
      <SettingsNav slug={slug} />
      <FormEditor project={project} />
    </Page>
  );
}

function FormEditor({ project }: { project: Project }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  const [state, dispatch] = useReducer(editForm, project.form, openEditor);
  const [jsonOpen, setJsonOpen] = useState(false);
  const known = useQuery({ queryKey: ["presets"], queryFn: presets, staleTime: 60 * 60_000 });
  const check = useFormCheck(project.slug, state.form);
  // The preview is deferred, because rendering ten cards takes longer than the time between two key presses.
  const shown = useDeferredValue(state.form);
  const changed = isChanged(state);
  const save = useMutation({
    mutationFn: () => saveForm(project.slug, state.form),
    onSuccess: async (saved) => {
      queryClient.setQueryData(projectQuery(project.slug).queryKey, saved);
      // The page receives the saved project only in the next tick. If the editor handled the save earlier,
      // the page would compare the saved form with the old form and report the difference as another user's
      // change.
      await new Promise((told) => setTimeout(told, 0));
      dispatch({ type: "saved", form: saved.form });
    },
  });
  const theirs = isOvertaken(state, project.form) ? project.form : null;
  const editor = useMemo(() => ({ state, dispatch, problems: check.problems }), [state, check.problems]);
  return (
    <EditorProvider value={editor}>
      <div className={styles.editor}>
        <section className={styles.sections} aria-label={t.parts}>
          <div className={styles.tools}>
            <NativeSelect
              label={t.preset}
              description={t.presetReplaces}
              data={[{ value: "", label: t.presetNone }, ...(known.data ?? []).map(({ name }) => name)]}
              value=""
              onChange={(event) => {
                const preset = known.data?.find(({ name }) => name === event.currentTarget.value);
                if (preset) dispatch({ type: "replace", form: preset.form });
              }}
            />
            <div className={styles.buttons}>
              <Button
                variant="default"
                leftSection={<Icon name="undo" size={14} />}
                disabled={state.past.length === 0}
                onClick={() => dispatch({ type: "undo" })}
              >
                {t.undo}
              </Button>
              <Button variant="default" onClick={() => setJsonOpen(true)}>
                {t.json}
              </Button>
            </div>
          </div>
          <Sections />
          <Findings check={check} />
          {theirs && (
            <Notice
              tone="warn"
              title={t.overtaken}
              actions={
                <Button size="xs" variant="default" onClick={() => dispatch({ type: "saved", form: theirs })}>
                  {t.takeTheirs}
                </Button>
              }
            >
              <p>{t.overtakenText}</p>
            </Notice>
          )}
          {save.isError && <ProblemNotice error={save.error} />}
          <SaveBar
            unsaved={changed ? 1 : 0}
            saved={save.isSuccess}
            busy={save.isPending}
            blocked={Object.keys(check.problems).length > 0}
            label={t.save}
            onSave={() => save.mutate()}
            onDiscard={() => dispatch({ type: "replace", form: state.saved })}
          >
            <Effects check={check} dropped={noLongerAsked(state)} />
          </SaveBar>
        </section>
        {/* The preview starts again when it receives a changed form. Until then, it is inert, because the
            effect of a click would be lost. */}
        <div className={styles.deferred} inert={shown !== state.form}>
          <DeskPreview form={shown} />
        </div>
      </div>
      {jsonOpen && (
        <JsonDialog
          slug={project.slug}
          form={state.form}
          onUse={(form) => dispatch({ type: "replace", form })}
          onClose={() => setJsonOpen(false)}
        />
      )}
      <UnsavedGuard unsaved={changed} />
    </EditorProvider>
  );
}

/** All validation errors in the form. An error in a field is also shown next to that field. */
function Findings({ check }: { check: FormCheck }) {
  const t = useTexts();
  const found = Object.entries(check.problems);
  if (check.failure) return <ProblemNotice error={check.failure} />;
  if (found.length === 0) return null;
  return (
    <Notice tone="warn" title={t.problems(found.length)}>
      <ul>
        {found.map(([path, reason]) => (
          <li key={path}>
            {path && <code>{path}</code>} {reason}
          </li>
        ))}
      </ul>
    </Notice>
  );
}

function Effects({ check, dropped }: { check: FormCheck; dropped: readonly string[] }) {
  const t = useTexts();
  const found = Object.keys(check.problems).length;
  if (found > 0) return <p>{t.problems(found)}</p>;
  if (!check.effect) return null;
  return (
    <>
      <p>{t.effects(check.effect.open_tasks, check.effect.in_hand)}</p>
      <p>{dropped.length > 0 ? t.dropped(dropped) : t.answered}</p>
    </>
  );
}
