import { Button, Checkbox, NativeSelect, NumberInput, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Selection } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { freezeSnapshot, snapshotsQuery } from "../api/data";
import { useTexts } from "../texts";
import styles from "./data.module.css";

type Choice = {
  aggregation: string;
  agreement: number | string;
  after: string;
  before: string;
  gold: boolean;
  license: string;
};

const EVERYTHING: Choice = {
  aggregation: "every",
  agreement: "",
  after: "",
  before: "",
  gold: false,
  license: "",
};

/**
 * The chosen filters in the API's format. Without filters, the snapshot contains all rankings that count, except
 * answers to checks. Dates are whole days in UTC.
 */
export function selectionOf(choice: Choice): Selection {
  return {
    ...(choice.aggregation !== "every" && { aggregation: choice.aggregation }),
    ...(typeof choice.agreement === "number" && { min_agreement: choice.agreement / 100 }),
    ...(choice.after && { after: `${choice.after}T00:00:00Z` }),
    ...(choice.before && { before: dayAfter(choice.before) }),
    ...(choice.gold && { gold: "included" }),
  };
}

function dayAfter(day: string): string {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString();
}

export function FreezeForm({ slug, suggestion }: { slug: string; suggestion: string }) {
  const t = useTexts().freeze;
  const queryClient = useQueryClient();
  const [name, setName] = useState<string | null>(null);
  const [choice, setChoice] = useState(EVERYTHING);
  const [choosing, setChoosing] = useState(false);
  const chosen = (name ?? suggestion).trim();
  const freeze = useMutation({
    mutationFn: () =>
      freezeSnapshot(slug, { name: chosen, license: choice.license, selection: selectionOf(choice) }),
    onSuccess: async () => {
      setName(null);
      await queryClient.invalidateQueries({ queryKey: snapshotsQuery(slug).queryKey });
    },
  });
  const nameError = freeze.error instanceof ApiProblem ? freeze.error.byField().name : undefined;
  const set = (change: Partial<Choice>) => setChoice({ ...choice, ...change });
  return (
    <form
      className={styles.freeze}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (chosen) freeze.mutate();
      }}
    >
      <TextInput
        size="xs"
        aria-label={t.name}
        value={name ?? suggestion}
        error={nameError ?? false}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Button size="xs" variant="default" aria-expanded={choosing} onClick={() => setChoosing(!choosing)}>
        {t.choose}
      </Button>
      <Button type="submit" size="xs" leftSection={<Icon name="lock" size={14} />} loading={freeze.isPending}>
        {t.freeze}
      </Button>
      {choosing && (
        <div className={styles.choices}>
          <NativeSelect
            size="xs"
            label={t.rows}
            value={choice.aggregation}
            data={[
              { value: "every", label: t.every },
              { value: "majority", label: t.majority },
              { value: "weighted", label: t.weighted },
            ]}
            onChange={(event) => set({ aggregation: event.currentTarget.value })}
          />
          <NumberInput
            size="xs"
            label={t.agreement}
            min={0}
            max={100}
            value={choice.agreement}
            onChange={(agreement) => set({ agreement })}
          />
          <TextInput
            size="xs"
            type="date"
            label={t.from}
            value={choice.after}
            onChange={(event) => set({ after: event.currentTarget.value })}
          />
          <TextInput
            size="xs"
            type="date"
            label={t.until}
            value={choice.before}
            onChange={(event) => set({ before: event.currentTarget.value })}
          />
          <TextInput
            size="xs"
            label={t.license}
            value={choice.license}
            onChange={(event) => set({ license: event.currentTarget.value })}
          />
          <Checkbox
            size="xs"
            label={t.checks}
            checked={choice.gold}
            onChange={(event) => set({ gold: event.currentTarget.checked })}
          />
        </div>
      )}
      {freeze.isError && !nameError && <ProblemNotice error={freeze.error} />}
    </form>
  );
}
