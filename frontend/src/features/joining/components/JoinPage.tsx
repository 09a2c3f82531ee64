import { Button, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useRouter, useRouterState } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { rememberCsrfToken } from "@/api/client";
import { ApiProblem, asProblem } from "@/api/problem";
import type { InvitedTo, Me } from "@/api/types";
import { currentLanguage } from "@/shared/i18n/language";
import { meQuery } from "@/shared/session";
import { Loading, Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { enter, invitationQuery, join } from "../api/joining";
import { useTexts } from "../texts";
import styles from "./joining.module.css";

/**
 * The page that an invitation link opens. The invitation token is in the URL fragment (`#`), which browsers do not
 * send to servers.
 */
export function JoinPage() {
  const t = useTexts();
  useDocumentTitle(t.title);
  const token = useRouterState({ select: ({ location }) => location.hash.replace(/^#/, "") });
  // The current user is requested first, because the response contains the CSRF token for all other requests.
  const me = useQuery(meQuery);
  const invitation = useQuery({ ...invitationQuery(token), enabled: token !== "" && !me.isPending });
  return (
    <main className={styles.page} id="main">
      <div className={styles.card}>
        <h1>{t.title}</h1>
        {token === "" && (
          <Notice tone="warn" title={t.missing}>
            <p>{t.missingText}</p>
          </Notice>
        )}
        {token !== "" && invitation.isPending && <Loading label={t.loading} />}
        {invitation.isError && (
          <>
            <Notice tone="warn" title={t.over}>
              <p>{asProblem(invitation.error).detail || asProblem(invitation.error).title}</p>
            </Notice>
            <p>
              <Link to={me.data ? "/" : "/login"}>{me.data ? t.goAnyway : t.home}</Link>
            </p>
          </>
        )}
        {invitation.data && <Invited token={token} to={invitation.data} me={me.data ?? null} />}
      </div>
    </main>
  );
}

function Invited({ token, to, me }: { token: string; to: InvitedTo; me: Me | null }) {
  const t = useTexts();
  const ends = new Date(to.expires_at).toLocaleString(currentLanguage(), {
    dateStyle: "long",
    timeStyle: "short",
  });
  return (
    <>
      <p className={styles.lead}>
        {to.invited_by && `${t.by(to.invited_by)} `}
        {t.to} <strong>{to.name}</strong>, {t.roles[to.role]}.
      </p>
      {me ? <JoinAs token={token} to={to} me={me} /> : <NewAccount token={token} to={to} />}
      <p className={styles.dim}>{t.ends(ends)}</p>
    </>
  );
}

function NewAccount({ token, to }: { token: string; to: InvitedTo }) {
  const t = useTexts();
  const router = useRouter();
  const queryClient = useQueryClient();
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const accept = useMutation({
    mutationFn: () => enter(token, username.trim(), password),
    onSuccess: (me) => {
      queryClient.clear();
      rememberCsrfToken(me.csrf_token);
      queryClient.setQueryData(meQuery.queryKey, me);
      return router.navigate({ to: "/projects/$slug", params: { slug: to.project }, replace: true });
    },
  });
  const refused = accept.error instanceof ApiProblem ? accept.error.byField() : {};
  return (
    <form
      className={styles.fields}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        accept.mutate();
      }}
    >
      <TextInput
        label={t.username}
        description={t.usernameHelp}
        autoComplete="username"
        autoCapitalize="none"
        autoFocus
        required
        withAsterisk={false}
        maxLength={150}
        value={username}
        error={refused.username ?? false}
        onChange={(event) => setUsername(event.currentTarget.value)}
      />
      <TextInput
        type="password"
        label={t.password}
        description={t.passwordHelp}
        autoComplete="new-password"
        required
        withAsterisk={false}
        value={password}
        error={refused.password ?? false}
        onChange={(event) => setPassword(event.currentTarget.value)}
      />
      {accept.isError && Object.keys(refused).length === 0 && <ProblemNotice error={accept.error} />}
      <Button type="submit" loading={accept.isPending} disabled={!username.trim() || !password}>
        {t.enter}
      </Button>
      <p className={styles.dim}>
        {t.haveOne} <Link to="/login">{t.logIn}</Link>
      </p>
    </form>
  );
}

function JoinAs({ token, to, me }: { token: string; to: InvitedTo; me: Me }) {
  const t = useTexts();
  const router = useRouter();
  const queryClient = useQueryClient();
  const accept = useMutation({
    mutationFn: () => join(token),
    onSuccess: async () => {
      await queryClient.invalidateQueries();
      await router.navigate({ to: "/projects/$slug", params: { slug: to.project }, replace: true });
    },
  });
  return (
    <div className={styles.fields}>
      <p>{t.as(me.username)}</p>
      {accept.isError && <ProblemNotice error={accept.error} />}
      <Button loading={accept.isPending} onClick={() => accept.mutate()}>
        {t.join(me.username)}
      </Button>
      <p className={styles.dim}>{t.other}</p>
    </div>
  );
}
