import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import { Notice, Panel, ProblemNotice } from "@/shared/ui";
import { changePassword } from "../api/account";
import { useTexts } from "../texts";
import styles from "./account.module.css";

export function PasswordPanel() {
  const texts = useTexts().password;
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
    <Panel title={texts.title}>
      <p className={styles.lead}>{texts.effects}</p>
      <form
        className={styles.form}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          change.mutate();
        }}
      >
        <TextInput
          type="password"
          label={texts.current}
          autoComplete="current-password"
          value={current}
          error={refused.current ?? false}
          onChange={(event) => setCurrent(event.currentTarget.value)}
        />
        <TextInput
          type="password"
          label={texts.fresh}
          autoComplete="new-password"
          value={fresh}
          error={refused.new ?? false}
          onChange={(event) => setFresh(event.currentTarget.value)}
        />
        <Button type="submit" loading={change.isPending} disabled={!current || !fresh}>
          {texts.change}
        </Button>
      </form>
      {change.isSuccess && (
        <Notice tone="good" title={texts.changed}>
          <p>{texts.othersEnded}</p>
        </Notice>
      )}
      {change.isError && Object.keys(refused).length === 0 && <ProblemNotice error={change.error} />}
    </Panel>
  );
}
