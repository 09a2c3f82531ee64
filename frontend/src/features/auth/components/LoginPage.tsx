import { Button, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { rememberCsrfToken } from "@/api/client";
import { asProblem } from "@/api/problem";
import type { Me } from "@/api/types";
import { meQuery } from "@/shared/session";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { goToProvider, logIn, providersQuery, sendCode } from "../api/login";
import styles from "./login.module.css";

/** Only a path of this site: `next` comes from the address bar, and `//elsewhere` would leave it. */
export function safeNext(next: string | undefined): string {
  return next?.startsWith("/") && !next.startsWith("//") && !next.includes("\\") ? next : "/";
}

/** Why a provider's answer logged nobody in; the words come back in the address. */
const REFUSALS: Record<string, { title: string; text: string }> = {
  unknown: {
    title: "No account here belongs to that log-in",
    text: "Ask the person who runs this site for an account, or connect the log-in from your account page.",
  },
  inactive: { title: "Your account is switched off", text: "Ask the person who runs this site." },
  cancelled: { title: "The log-in was cancelled", text: "You can try again, or use your password." },
  taken: {
    title: "That log-in is connected to another account",
    text: "Log in with it, or ask the person who runs this site.",
  },
  failed: {
    title: "The log-in did not work",
    text: "Try again. If it happens twice, tell the person who runs this site; the server's log has the reason.",
  },
};

export function LoginPage() {
  useDocumentTitle("Log in");
  const { next, ended, step, problem } = useSearch({ from: "/login" });
  const router = useRouter();
  const queryClient = useQueryClient();
  const [codeAsked, setCodeAsked] = useState(step === "code");
  const refusal = problem ? (REFUSALS[problem] ?? REFUSALS.failed) : undefined;

  function enter(me: Me) {
    queryClient.clear();
    rememberCsrfToken(me.csrf_token);
    queryClient.setQueryData(meQuery.queryKey, me);
    router.history.push(safeNext(next));
  }

  return (
    <main className={styles.page} id="main">
      <div className={styles.form}>
        <div>
          <h1 className={styles.title}>Rankloop</h1>
          <p className={styles.lead}>Rank what language models say. Train them on it. Ask again.</p>
        </div>
        {ended && (
          <Notice tone="info" title="Your session ended">
            <p>Log in to continue where you were. What you had ranked is kept in this browser.</p>
          </Notice>
        )}
        {refusal && (
          <Notice tone="warn" title={refusal.title}>
            <p>{refusal.text}</p>
          </Notice>
        )}
        {codeAsked ? (
          <CodeForm onLoggedIn={enter} onStartAgain={() => setCodeAsked(false)} />
        ) : (
          <PasswordForm onLoggedIn={enter} onCodeAsked={() => setCodeAsked(true)} next={safeNext(next)} />
        )}
      </div>
    </main>
  );
}

function PasswordForm({
  onLoggedIn,
  onCodeAsked,
  next,
}: {
  onLoggedIn: (me: Me) => void;
  onCodeAsked: () => void;
  next: string;
}) {
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const providers = useQuery(providersQuery);
  const login = useMutation({
    mutationFn: () => logIn(username, password),
    onSuccess: (me) => (me ? onLoggedIn(me) : onCodeAsked()),
  });
  const leave = useMutation({ mutationFn: (provider: string) => goToProvider(provider, next) });

  return (
    <form
      className={styles.fields}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        login.mutate();
      }}
    >
      {login.isError &&
        (asProblem(login.error).status === 400 ? (
          <Notice tone="bad" title="That username and password do not match an account">
            <p>Check both, or ask the person who runs this site for a new password.</p>
          </Notice>
        ) : (
          <ProblemNotice error={login.error} />
        ))}
      {leave.isError && <ProblemNotice error={leave.error} />}
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
      {providers.data?.map((provider) => (
        <Button
          key={provider.id}
          variant="default"
          loading={leave.isPending && leave.variables === provider.id}
          onClick={() => leave.mutate(provider.id)}
        >
          Log in with {provider.name}
        </Button>
      ))}
    </form>
  );
}

function CodeForm({ onLoggedIn, onStartAgain }: { onLoggedIn: (me: Me) => void; onStartAgain: () => void }) {
  const [code, setCode] = useState("");
  const send = useMutation({ mutationFn: () => sendCode(code), onSuccess: onLoggedIn });
  return (
    <form
      className={styles.fields}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        send.mutate();
      }}
    >
      {send.isError && <ProblemNotice error={send.error} />}
      <TextInput
        label="Code"
        description="From your authenticator app, or one of your recovery codes."
        autoComplete="one-time-code"
        inputMode="numeric"
        autoFocus
        required
        withAsterisk={false}
        value={code}
        onChange={(event) => setCode(event.currentTarget.value)}
      />
      <Button type="submit" loading={send.isPending}>
        Log in
      </Button>
      <Button variant="subtle" onClick={onStartAgain}>
        Start again
      </Button>
    </form>
  );
}
