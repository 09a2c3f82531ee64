import { Button, NativeSelect, NumberInput, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Preset } from "@/api/types";
import { Dialog } from "@/shared/Dialog";
import { ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { createProject, projectsQuery } from "../api/projects";

/** The presets of annotation.presets, in the words of somebody choosing one. */
const PRESETS: { value: Preset; label: string }[] = [
  { value: "ranking", label: "Ranking: 2–10 in order with ties, unsafe flag, comment" },
  { value: "instructgpt", label: "InstructGPT: 4–9 in order with ties, overall 1–7, ten flags" },
  { value: "llama2", label: "Llama 2: pairs without ties in four degrees, which are safe" },
  { value: "hh", label: "Helpful & harmless: pairs on eight positions, nothing else" },
  { value: "helpsteer2", label: "HelpSteer2: pairs from −3 to +3 with a reason, five ratings 0–4" },
  { value: "arena", label: "Arena: A, B, tie, or both are bad" },
  { value: "oasst", label: "Open Assistant: 2–10 in order without ties, quality, seven flags" },
];

function slugFrom(name: string): string {
  return name
    .toLowerCase()
    .normalize("NFKD")
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 80);
}

export function NewProjectDialog({ onClose }: { onClose: () => void }) {
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [ownSlug, setOwnSlug] = useState<string | null>(null);
  const [preset, setPreset] = useState<Preset>("ranking");
  const [overlap, setOverlap] = useState<number>(1);
  const slug = ownSlug ?? slugFrom(name);

  const create = useMutation({
    mutationFn: () => createProject({ slug, name: name.trim(), preset, overlap, guidelines: "" }),
    onSuccess: async (project) => {
      await queryClient.invalidateQueries({ queryKey: projectsQuery.queryKey });
      await queryClient.invalidateQueries({ queryKey: ["me"] });
      await navigate({ to: "/projects/$slug/data", params: { slug: project.slug } });
    },
  });
  const refused = create.error instanceof ApiProblem ? create.error.byField() : {};

  return (
    <Dialog
      title="New project"
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button disabled={!name.trim() || !slug} loading={create.isPending} onClick={() => create.mutate()}>
            Create project
          </Button>
        </>
      }
    >
      <div className={ui.stack}>
        <TextInput
          label="Name"
          autoFocus
          value={name}
          error={refused.name ?? false}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <TextInput
          label="Short name"
          description="In addresses and commands. It can’t be changed later."
          value={slug}
          error={refused.slug ?? false}
          onChange={(event) => setOwnSlug(event.currentTarget.value)}
        />
        <NativeSelect
          label="What annotators are asked"
          data={PRESETS}
          value={preset}
          error={refused.preset ?? false}
          onChange={(event) => setPreset(event.currentTarget.value as Preset)}
        />
        <NumberInput
          label="Rankings per task"
          description="How many different people rank each task. Two or more lets agreement be measured."
          min={1}
          max={50}
          allowDecimal={false}
          value={overlap}
          error={refused.overlap ?? false}
          onChange={(value) => setOverlap(Number(value) || 1)}
        />
        {create.isError && <ProblemNotice error={create.error} />}
      </div>
    </Dialog>
  );
}
