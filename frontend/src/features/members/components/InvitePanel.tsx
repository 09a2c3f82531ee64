import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Role } from "@/api/types";
import { CopyLine, Notice, Panel, ProblemNotice } from "@/shared/ui";
import { invitationsQuery, invite } from "../api/members";
import { useTexts } from "../texts";
import styles from "./members.module.css";
import { useRoleOptions } from "./useRoleOptions";

const DAYS = [1, 7, 30];

export function InvitePanel({ slug }: { slug: string }) {
  const t = useTexts();
  const roles = useRoleOptions();
  const queryClient = useQueryClient();
  const [role, setRole] = useState<Role>("annotator");
  const [days, setDays] = useState(7);
  const [note, setNote] = useState("");
  const make = useMutation({
    mutationFn: () => invite(slug, { role, days, note: note.trim() }),
    onSuccess: async () => {
      setNote("");
      await queryClient.invalidateQueries({ queryKey: invitationsQuery(slug).queryKey });
    },
  });
  const refused = make.error instanceof ApiProblem ? make.error.byField() : {};
  return (
    <Panel title={t.invite.title}>
      <p className={styles.lead}>{t.invite.lead}</p>
      <form
        className={styles.invite}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          make.mutate();
        }}
      >
        <NativeSelect
          label={t.role}
          data={roles}
          value={role}
          error={refused.role ?? false}
          onChange={(event) => setRole(event.currentTarget.value as Role)}
        />
        <NativeSelect
          label={t.invite.days}
          data={DAYS.map((value) => ({ value: String(value), label: t.invite.daysOf(value) }))}
          value={String(days)}
          error={refused.days ?? false}
          onChange={(event) => setDays(Number(event.currentTarget.value))}
        />
        <TextInput
          label={t.invite.note}
          description={t.invite.noteHelp}
          maxLength={200}
          value={note}
          error={refused.note ?? false}
          onChange={(event) => setNote(event.currentTarget.value)}
        />
        <Button type="submit" loading={make.isPending}>
          {t.invite.make}
        </Button>
      </form>
      {make.isError && Object.keys(refused).length === 0 && <ProblemNotice error={make.error} />}
      {make.data && (
        <Notice tone="good" title={t.invite.made}>
          <CopyLine text={make.data} label={t.invite.copy} />
        </Notice>
      )}
    </Panel>
  );
}
