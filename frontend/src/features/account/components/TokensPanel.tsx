import { Button, Checkbox, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Account, ApiToken, TokenScope } from "@/api/types";
import { currentLanguage } from "@/shared/i18n/language";
import { Badge, CopyLine, Loading, Notice, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { createToken, revokeToken, tokensQuery } from "../api/account";
import { useTexts } from "../texts";
import styles from "./account.module.css";

const SCOPES: TokenScope[] = ["read", "annotate", "manage", "train"];
const LIVES = [
  { days: 7, name: "week" },
  { days: 30, name: "month" },
  { days: 90, name: "quarter" },
  { days: 365, name: "year" },
] as const;
const USUAL_DAYS = 90;
const DAY_MS = 86_400_000;

/** The validity periods that the form offers. An empty value means that the token never expires. */
function livesUpTo(maxDays: number | null, texts: ReturnType<typeof useTexts>["tokens"]) {
  const known = LIVES.filter(({ days }) => maxDays === null || days <= maxDays).map(({ days, name }) => ({
    value: String(days),
    label: texts.life[name],
  }));
  if (maxDays === null) return [...known, { value: "", label: texts.life.forEver }];
  const isListed = known.some(({ value }) => value === String(maxDays));
  return isListed ? known : [...known, { value: String(maxDays), label: texts.life.days(maxDays) }];
}

function endAfter(days: string, now = Date.now()): string | null {
  return days ? new Date(now + Number(days) * DAY_MS).toISOString() : null;
}

function stateOf(token: ApiToken, now = Date.now()): "live" | "revoked" | "expired" {
  if (token.revoked_at) return "revoked";
  return token.expires_at && Date.parse(token.expires_at) <= now ? "expired" : "live";
}

const day = (time: string | null, otherwise: string) =>
  time ? new Date(time).toLocaleDateString(currentLanguage()) : otherwise;

export function TokensPanel({ account }: { account: Account }) {
  const texts = useTexts().tokens;
  const tokens = useQuery(tokensQuery);
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: tokensQuery.queryKey });
  const revoke = useMutation({ mutationFn: revokeToken, onSuccess: refresh });
  return (
    <Panel title={texts.title}>
      <p className={styles.lead}>
        {texts.forScripts} <code>Authorization: Bearer TOKEN</code>. {texts.may} {texts.passwordRevokes}
      </p>
      <NewToken account={account} onCreated={refresh} />
      {tokens.isPending && <Loading label={texts.loading} />}
      {tokens.isError && <ProblemNotice error={tokens.error} />}
      {revoke.isError && <ProblemNotice error={revoke.error} />}
      {tokens.data && tokens.data.length > 0 && (
        <TableScroll label={texts.yours}>
          <thead>
            <tr>
              <th>{texts.name}</th>
              <th>{texts.beginsWith}</th>
              <th>{texts.scopes}</th>
              <th>{texts.lastUsed}</th>
              <th>{texts.ends}</th>
              <th>{texts.state}</th>
            </tr>
          </thead>
          <tbody>
            {tokens.data.map((token) => (
              <tr key={token.id}>
                <td>{token.name}</td>
                <td>
                  <code>{token.prefix}…</code>
                </td>
                <td>{token.scopes.join(", ")}</td>
                <td>{day(token.last_used_at, texts.never)}</td>
                <td>{day(token.expires_at, texts.whenRevoked)}</td>
                <td>
                  {stateOf(token) === "live" ? (
                    <Button
                      size="compact-sm"
                      variant="default"
                      aria-label={texts.revokeNamed(token.name)}
                      loading={revoke.isPending && revoke.variables === token.id}
                      onClick={() => revoke.mutate(token.id)}
                    >
                      {texts.revoke}
                    </Button>
                  ) : (
                    <Badge tone="neutral">
                      {texts.states[stateOf(token) === "revoked" ? "revoked" : "expired"]}
                    </Badge>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
    </Panel>
  );
}

function NewToken({ account, onCreated }: { account: Account; onCreated: () => void }) {
  const texts = useTexts().tokens;
  const lives = livesUpTo(account.token_max_days, texts);
  const takesCode = account.second_factor.enabled;
  const takesPassword = !takesCode && (account.has_password ?? false);
  const [proof, setProof] = useState("");
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<TokenScope[]>(["read"]);
  const [days, setDays] = useState(
    lives.find(({ value }) => value === String(USUAL_DAYS))?.value ?? lives[lives.length - 1]?.value ?? "",
  );
  const create = useMutation({
    mutationFn: () =>
      createToken({
        name: name.trim(),
        scopes,
        expires_at: endAfter(days),
        password: takesPassword ? proof : "",
        code: takesCode ? proof : "",
      }),
    onSuccess: () => {
      setName("");
      setProof("");
      onCreated();
    },
  });
  const refused = create.error instanceof ApiProblem ? create.error.byField() : {};
  return (
    <>
      <form
        className={styles.form}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          create.mutate();
        }}
      >
        <TextInput
          label={texts.name}
          description={texts.nameHelp}
          maxLength={100}
          value={name}
          error={refused.name ?? false}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <NativeSelect
          label={texts.lives}
          description={texts.livesHelp}
          data={lives}
          value={days}
          error={refused.expires_at ?? false}
          onChange={(event) => setDays(event.currentTarget.value)}
        />
        <Checkbox.Group
          className={styles.wide}
          label={texts.scopes}
          value={scopes}
          error={refused.scopes ?? false}
          onChange={(values) => setScopes(values as TokenScope[])}
        >
          <div className={styles.scopes}>
            {SCOPES.map((scope) => (
              <Checkbox key={scope} value={scope} label={texts.scope[scope]} />
            ))}
          </div>
        </Checkbox.Group>
        {takesPassword && (
          <TextInput
            type="password"
            label={texts.yourPassword}
            autoComplete="current-password"
            value={proof}
            error={refused.password ?? false}
            onChange={(event) => setProof(event.currentTarget.value)}
          />
        )}
        {takesCode && (
          <TextInput
            label={texts.code}
            description={texts.codeHelp}
            autoComplete="one-time-code"
            value={proof}
            error={refused.code ?? false}
            onChange={(event) => setProof(event.currentTarget.value)}
          />
        )}
        <Button
          type="submit"
          loading={create.isPending}
          disabled={!name.trim() || scopes.length === 0 || ((takesCode || takesPassword) && !proof)}
        >
          {texts.create}
        </Button>
      </form>
      {create.isError && Object.keys(refused).length === 0 && <ProblemNotice error={create.error} />}
      {create.data && (
        <Notice tone="good" title={texts.copyNow(create.data.name)}>
          <CopyLine text={create.data.token} label={texts.copy} />
        </Notice>
      )}
    </>
  );
}
