import { Button, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRouter, useSearch } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { rememberCsrfToken } from "@/api/client";
import { asProblem } from "@/api/problem";
import type { Me } from "@/api/types";
import { LanguageSelect } from "@/shared/i18n/LanguageSelect";
import { meQuery } from "@/shared/session";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { goToProvider, logIn, providersQuery, sendCode } from "../api/login";
import { useTexts } from "../texts";
import styles from "./login.module.css";

/** Accepts only paths on this site: `next` comes from the URL, and `//elsewhere` would lead to another site. */
function safeNext(next: string | undefined): string {
  return next?.startsWith("/") && !next.startsWith("//") && !next.includes("\\") ? next : "/";
}

export function LoginPage() {
  const texts = useTexts();
  useDocumentTitle(texts.title);
  const { next, ended, step, problem } = useSearch({ from: "/login" });
  const router = useRouter();
  const queryClient = useQueryClient();
  const [codeAsked, setCodeAsked] = useState(step === "code");
  const refusals: Record<string, { title: string; text: string }> = texts.refusals;
  const refusal = problem ? (refusals[problem] ?? texts.refusals.failed) : undefined;

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
          <p className={styles.lead}>{texts.lead}</p>
        </div>
        {ended && (
          <Notice tone="info" title={texts.ended}>
            <p>{texts.endedWhy}</p>
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
        <LanguageSelect label={texts.language} className={styles.language} />
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
  const texts = useTexts();
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
          <Notice tone="bad" title={texts.wrong}>
            <p>{texts.wrongWhat}</p>
          </Notice>
        ) : (
          <ProblemNotice error={login.error} />
        ))}
      {leave.isError && <ProblemNotice error={leave.error} />}
      <TextInput
        label={texts.username}
        autoComplete="username"
        autoFocus
        required
        withAsterisk={false}
        value={username}
        onChange={(event) => setUsername(event.currentTarget.value)}
      />
      <TextInput
        type="password"
        label={texts.password}
        autoComplete="current-password"
        required
        withAsterisk={false}
        value={password}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      <Button type="submit" loading={login.isPending}>
        {texts.logIn}
      </Button>
      {providers.data?.map((provider) => (
        <Button
          key={provider.id}
          variant="default"
          loading={leave.isPending && leave.variables === provider.id}
          onClick={() => leave.mutate(provider.id)}
        >
          {texts.logInWith(provider.name)}
        </Button>
      ))}
    </form>
  );
}

function CodeForm({ onLoggedIn, onStartAgain }: { onLoggedIn: (me: Me) => void; onStartAgain: () => void }) {
  const texts = useTexts();
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
        label={texts.code}
        description={texts.codeHelp}
        autoComplete="one-time-code"
        inputMode="numeric"
        autoFocus
        required
        withAsterisk={false}
        value={code}
        onChange={(event) => setCode(event.currentTarget.value)}
      />
      <Button type="submit" loading={send.isPending}>
        {texts.logIn}
      </Button>
      <Button variant="subtle" onClick={onStartAgain}>
        {texts.startAgain}
      </Button>
    </form>
  );
}
