import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import { Notice, Panel, ProblemNotice } from "@/shared/ui";
import { changePassword } from "../api/account";
import styles from "./account.module.css";

export function PasswordPanel() {
  const [current, setCurrent] = useState("");
  const [fresh, setFresh] = useState("");
  const change = useMutation({
    mutationFn: () => changePassword(current, fresh),
    onSuccess: () => {
      setCurrent("");
      setFresh("");
    },
  });
  const refused = change.error instanceof ApiProblem ? change.error.byField() : {};
  return (
    <Panel title="Password">
      <form
        className={styles.form}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          change.mutate();
        }}
      >
        <TextInput
          type="password"
          label="Current password"
          autoComplete="current-password"
          value={current}
          error={refused.current ?? false}
          onChange={(event) => setCurrent(event.currentTarget.value)}
        />
        <TextInput
          type="password"
          label="New password"
          autoComplete="new-password"
          value={fresh}
          error={refused.new ?? false}
          onChange={(event) => setFresh(event.currentTarget.value)}
        />
        <Button type="submit" loading={change.isPending} disabled={!current || !fresh}>
          Change password
        </Button>
      </form>
      {change.isSuccess && (
        <Notice tone="good" title="The new password holds from now on">
          <p>Your other sessions have ended.</p>
        </Notice>
      )}
      {change.isError && Object.keys(refused).length === 0 && <ProblemNotice error={change.error} />}
    </Panel>
  );
}
