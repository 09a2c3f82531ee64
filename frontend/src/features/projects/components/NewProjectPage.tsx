import { Button, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Preset } from "@/api/types";
import { NumberField } from "@/shared/fields/NumberField";
import { MAX_GUIDELINES_CHARACTERS } from "@/shared/limits";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { createProject, presetsQuery, projectsQuery } from "../api/projects";
import { slugFrom } from "../slug";
import { useTexts } from "../texts";
import { PresetCards } from "./PresetCards";
import styles from "./preset.module.css";

const MAX_OVERLAP = 50;

export function NewProjectPage() {
  const t = useTexts().newProject;
  const { data: me } = useSuspenseQuery(meQuery);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const presets = useQuery(presetsQuery);
  const [name, setName] = useState("");
  const [ownSlug, setOwnSlug] = useState<string | null>(null);
  const [preset, setPreset] = useState<Preset>("ranking");
  const [overlap, setOverlap] = useState(2);
  const [guidelines, setGuidelines] = useState("");
  const slug = ownSlug ?? slugFrom(name);

  const create = useMutation({
    mutationFn: () => createProject({ slug, name: name.trim(), preset, overlap, guidelines }),
    onSuccess: async (project) => {
      await queryClient.invalidateQueries({ queryKey: projectsQuery.queryKey });
      await queryClient.invalidateQueries({ queryKey: ["me"] });
      await navigate({ to: "/projects/$slug/start", params: { slug: project.slug } });
    },
  });
  if (me && !may.createProjects(me)) {
    const back = (
      <Button variant="default" renderRoot={(props) => <Link {...props} to="/" />}>
        {t.back}
      </Button>
    );
    return (
      <Page title={t.title}>
        <EmptyState title={t.notAllowed} actions={back}>
          <p>{t.whoMay}</p>
        </EmptyState>
      </Page>
    );
  }
  const refused = create.error instanceof ApiProblem ? create.error.byField() : {};

  return (
    <Page title={t.title} lead={t.lead}>
      <form
        className={styles.form}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          if (name.trim() && slug) create.mutate();
        }}
      >
        <div className={styles.fields}>
          <TextInput
            label={t.name}
            description={t.nameHelp}
            autoFocus
            required
            withAsterisk={false}
            maxLength={200}
            value={name}
            error={refused.name ?? false}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <TextInput
            label={t.slug}
            description={`${t.slugHelp} ${t.address(slug)}`}
            required
            withAsterisk={false}
            maxLength={80}
            value={slug}
            error={refused.slug ?? false}
            onChange={(event) => setOwnSlug(event.currentTarget.value)}
          />
        </div>
        {presets.isError && <ProblemNotice error={presets.error} />}
        {presets.isPending && <Loading label={t.loading} />}
        {presets.data && (
          <PresetCards presets={presets.data} value={preset} error={refused.preset} onChange={setPreset} />
        )}
        <NumberField
          className={styles.short}
          label={t.overlap}
          description={t.overlapHelp}
          min={1}
          max={MAX_OVERLAP}
          value={overlap}
          error={refused.overlap}
          onChange={(value) => setOverlap(value ?? 1)}
        />
        <Textarea
          label={t.guidelines}
          description={t.guidelinesHelp}
          placeholder={t.guidelinesHint}
          maxLength={MAX_GUIDELINES_CHARACTERS}
          autosize
          minRows={4}
          maxRows={16}
          value={guidelines}
          error={refused.guidelines ?? false}
          onChange={(event) => setGuidelines(event.currentTarget.value)}
        />
        {create.isError && <ProblemNotice error={create.error} />}
        <div className={styles.actions}>
          <Button type="submit" loading={create.isPending} disabled={!name.trim() || !slug}>
            {t.create}
          </Button>
          <Button variant="default" renderRoot={(props) => <Link {...props} to="/" />}>
            {t.cancel}
          </Button>
        </div>
      </form>
    </Page>
  );
}
