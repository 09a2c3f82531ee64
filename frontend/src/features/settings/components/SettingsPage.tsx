import { useMutation, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Project } from "@/api/types";
import { SaveBar } from "@/shared/fields/SaveBar";
import { UnsavedGuard } from "@/shared/fields/UnsavedGuard";
import { projectQuery } from "@/shared/session";
import { Page, ProblemNotice } from "@/shared/ui";
import { SettingsNav } from "@/shared/ui/SettingsNav";
import { changeProject } from "../api/settings";
import { changedIn, changesOf, type Draft, draftOf } from "../draft";
import { useTexts } from "../texts";
import { ChecksSection, QualificationSection, ReviewSection } from "./ChecksSection";
import { GeneralSection } from "./GeneralSection";
import { StateSection } from "./StateSection";
import { TasksSection } from "./TasksSection";

export function SettingsPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/settings" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const t = useTexts();
  return (
    <Page title={t.title} lead={t.lead}>
      <SettingsNav slug={slug} />
      <SettingsForm project={project} />
      <StateSection project={project} />
    </Page>
  );
}

function SettingsForm({ project }: { project: Project }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  // `touched` contains only the user's own changes. The page therefore shows other users' changes and does
  // not overwrite them.
  const [touched, setTouched] = useState<Partial<Draft>>({});
  const draft = { ...draftOf(project), ...touched };
  const changed = changedIn(project, draft);
  const save = useMutation({
    mutationFn: () => changeProject(project.slug, changesOf(project, draft)),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: projectQuery(project.slug).queryKey });
      setTouched({});
    },
  });
  const reasons = save.error instanceof ApiProblem ? save.error.byField() : {};
  const section = {
    draft,
    change: (part: Partial<Draft>) => {
      if (save.isSuccess || save.isError) save.reset();
      setTouched((now) => ({ ...now, ...part }));
    },
    refused: (name: string) => reasons[name] ?? reasons[`checks.${name}`],
  };
  return (
    <>
      <GeneralSection {...section} />
      <TasksSection {...section} />
      <ChecksSection {...section} slug={project.slug} />
      <QualificationSection {...section} slug={project.slug} />
      <ReviewSection {...section} />
      {save.isError && <ProblemNotice error={save.error} />}
      <SaveBar
        unsaved={changed.length}
        saved={save.isSuccess}
        busy={save.isPending}
        blocked={!draft.name.trim()}
        label={t.save}
        onSave={() => save.mutate()}
        onDiscard={() => {
          save.reset();
          setTouched({});
        }}
      />
      <UnsavedGuard unsaved={changed.length > 0} />
    </>
  );
}
