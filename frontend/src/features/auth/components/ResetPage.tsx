import { Button, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useRouterState } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { rememberCsrfToken } from "@/api/client";
import { ApiProblem } from "@/api/problem";
import { meQuery } from "@/shared/session";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { resetPassword } from "../api/login";
import { useTexts } from "../texts";
import styles from "./login.module.css";

/**
 * The page that a password reset link opens. The token is in the URL fragment (`#`), which browsers do not send to
 * servers.
 */
export function ResetPage() {
  const texts = useTexts().reset;
  useDocumentTitle(texts.title);
  const token = useRouterState({ select: ({ location }) => location.hash.replace(/^#/, "") });
  return (
    <main className={styles.page} id="main">
      <div className={styles.form}>
        <h1 className={styles.title}>{texts.title}</h1>
        {token === "" ? (
          <Notice tone="warn" title={texts.missing}>
            <p>{texts.missingText}</p>
          </Notice>
        ) : (
          <NewPassword token={token} />
        )}
      </div>
    </main>
  );
}

function NewPassword({ token }: { token: string }) {
  const texts = useTexts().reset;
  const router = useRouter();
  const queryClient = useQueryClient();
  const [password, setPassword] = useState("");
  // The response contains the CSRF token, which the form needs.
  const me = useQuery(meQuery);
  const reset = useMutation({
    mutationFn: () => resetPassword(token, password),
    onSuccess: (user) => {
      queryClient.clear();
      if (!user) return router.navigate({ to: "/login", search: { step: "code" }, replace: true });
      rememberCsrfToken(user.csrf_token);
      queryClient.setQueryData(meQuery.queryKey, user);
      return router.navigate({ to: "/", replace: true });
    },
  });
  const refused = reset.error instanceof ApiProblem ? reset.error.byField() : {};
  return (
    <form
      className={styles.fields}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        reset.mutate();
      }}
    >
      {reset.isError && Object.keys(refused).length === 0 && <ProblemNotice error={reset.error} />}
      <TextInput
        type="password"
        label={texts.password}
        description={texts.passwordHelp}
        autoComplete="new-password"
        autoFocus
        required
        withAsterisk={false}
        value={password}
        error={refused.password ?? false}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      <Button type="submit" loading={reset.isPending} disabled={!password || me.isPending}>
        {texts.set}
      </Button>
    </form>
  );
}
