import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Role } from "@/api/types";
import { Panel, ProblemNotice } from "@/shared/ui";
import { putMember } from "../api/members";
import { useTexts } from "../texts";
import styles from "./members.module.css";
import { useRoleOptions } from "./useRoleOptions";

export function AddMember({ slug }: { slug: string }) {
  const t = useTexts();
  const roles = useRoleOptions();
  const queryClient = useQueryClient();
  const [username, setUsername] = useState("");
  const [role, setRole] = useState<Role>("annotator");
  const add = useMutation({
    mutationFn: () => putMember(slug, { username: username.trim(), role }),
    onSuccess: async () => {
      setUsername("");
      await queryClient.invalidateQueries({ queryKey: ["members", slug] });
    },
  });
  const refused = add.error instanceof ApiProblem ? add.error.byField() : {};
  return (
    <Panel title={t.add.title}>
      <form
        className={styles.form}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          if (username.trim()) add.mutate();
        }}
      >
        <TextInput
          label={t.add.username}
          description={t.add.usernameHelp}
          value={username}
          error={refused.username ?? false}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <NativeSelect
          label={t.role}
          data={roles}
          value={role}
          error={refused.role ?? false}
          onChange={(event) => setRole(event.currentTarget.value as Role)}
        />
        <Button type="submit" variant="default" loading={add.isPending} disabled={!username.trim()}>
          {t.add.button}
        </Button>
      </form>
      {add.isError && Object.keys(refused).length === 0 && <ProblemNotice error={add.error} />}
    </Panel>
  );
}
