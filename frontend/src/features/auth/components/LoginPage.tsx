import { Button, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { api, rememberCsrfToken, unwrap } from "@/api/client";
import { asProblem } from "@/api/problem";
import { meQuery } from "@/shared/session";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import styles from "./login.module.css";

/** Only a path of this site: `next` comes from the address bar, and `//elsewhere` would leave it. */
export function safeNext(next: string | undefined): string {
  return next?.startsWith("/") && !next.startsWith("//") && !next.includes("\\") ? next : "/";
}

export function LoginPage() {
  useDocumentTitle("Log in");
  const { next, ended } = useSearch({ from: "/login" });
  const router = useRouter();
  const queryClient = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");

  const login = useMutation({
    mutationFn: () => unwrap(api.POST("/api/v1/auth/login", { body: { username, password } })),
    onSuccess: async (me) => {
      queryClient.clear();
      rememberCsrfToken(me.csrf_token);
      queryClient.setQueryData(meQuery.queryKey, me);
      router.history.push(safeNext(next));
    },
  });

  function submit(event: FormEvent) {
    event.preventDefault();
    login.mutate();
  }

  return (
    <main className={styles.page} id="main">
      <form className={styles.form} onSubmit={submit}>
        <div>
          <h1 className={styles.title}>Rankloop</h1>
          <p className={styles.lead}>Rank what language models say. Train them on it. Ask again.</p>
        </div>
        {ended && !login.isError && (
          <Notice tone="info" title="Your session ended">
            <p>Log in to continue where you were. What you had ranked is kept in this browser.</p>
          </Notice>
        )}
        {login.isError &&
          (asProblem(login.error).status === 400 ? (
            <Notice tone="bad" title="That username and password do not match an account">
              <p>Check both, or ask the person who runs this site for a new password.</p>
            </Notice>
          ) : (
            <ProblemNotice error={login.error} />
          ))}
        <TextInput
          label="Username"
          autoComplete="username"
          autoFocus
          required
          withAsterisk={false}
          value={username}
          onChange={(event) => setUsername(event.currentTarget.value)}
        />
        <TextInput
          type="password"
          label="Password"
          autoComplete="current-password"
          required
          withAsterisk={false}
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        <Button type="submit" loading={login.isPending}>
          Log in
        </Button>
      </form>
    </main>
  );
}
