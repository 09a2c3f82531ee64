import { Button, Checkbox, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { ApiToken, TokenScope } from "@/api/types";
import { Badge, CopyLine, Loading, Notice, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { createToken, revokeToken, tokensQuery } from "../api/account";
import styles from "./account.module.css";

const SCOPES: { value: TokenScope; label: string }[] = [
  { value: "read", label: "Read what you can see" },
  { value: "annotate", label: "Claim and answer tasks" },
  { value: "manage", label: "Manage projects, members, data" },
  { value: "train", label: "Launch runs, promote models" },
];
const LIVES = [
  { value: "7", label: "a week" },
  { value: "90", label: "90 days" },
  { value: "365", label: "a year" },
  { value: "", label: "until it is revoked" },
];
const DAY_MS = 86_400_000;

export function endAfter(days: string, now = Date.now()): string | null {
  return days ? new Date(now + Number(days) * DAY_MS).toISOString() : null;
}

function stateOf(token: ApiToken, now = Date.now()): "live" | "revoked" | "expired" {
  if (token.revoked_at) return "revoked";
  return token.expires_at && Date.parse(token.expires_at) <= now ? "expired" : "live";
}

const day = (time: string | null, otherwise: string) =>
  time ? new Date(time).toLocaleDateString() : otherwise;

export function TokensPanel() {
  const tokens = useQuery(tokensQuery);
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: tokensQuery.queryKey });
  const revoke = useMutation({ mutationFn: revokeToken, onSuccess: refresh });
  return (
    <Panel title="API tokens">
      <p className={styles.lead}>
        For scripts: <code>Authorization: Bearer TOKEN</code>. A token can do what you can, within its scopes.
      </p>
      <NewToken onCreated={refresh} />
      {tokens.isPending && <Loading label="Loading your tokens" />}
      {tokens.isError && <ProblemNotice error={tokens.error} />}
      {revoke.isError && <ProblemNotice error={revoke.error} />}
      {tokens.data && tokens.data.length > 0 && (
        <TableScroll label="Your tokens">
          <thead>
            <tr>
              <th>Name</th>
              <th>Begins with</th>
              <th>Scopes</th>
              <th>Last used</th>
              <th>Ends</th>
              <th>State</th>
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
                <td>{day(token.last_used_at, "never")}</td>
                <td>{day(token.expires_at, "when revoked")}</td>
                <td>
                  {stateOf(token) === "live" ? (
                    <Button
                      size="compact-sm"
                      variant="default"
                      aria-label={`Revoke ${token.name}`}
                      loading={revoke.isPending && revoke.variables === token.id}
                      onClick={() => revoke.mutate(token.id)}
                    >
                      Revoke
                    </Button>
                  ) : (
                    <Badge tone="neutral">{stateOf(token)}</Badge>
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

function NewToken({ onCreated }: { onCreated: () => void }) {
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<TokenScope[]>(["read"]);
  const [days, setDays] = useState("90");
  const create = useMutation({
    mutationFn: () => createToken(name.trim(), scopes, endAfter(days)),
    onSuccess: () => {
      setName("");
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
          label="Name"
          description="What will use it."
          value={name}
          error={refused.name ?? false}
          onChange={(event) => setName(event.currentTarget.value)}
        />
        <NativeSelect
          label="Lives"
          description="Afterwards it opens nothing."
          data={LIVES}
          value={days}
          onChange={(event) => setDays(event.currentTarget.value)}
        />
        <Checkbox.Group
          className={styles.wide}
          label="Scopes"
          value={scopes}
          error={refused.scopes ?? false}
          onChange={(values) => setScopes(values as TokenScope[])}
        >
          <div className={styles.scopes}>
            {SCOPES.map(({ value, label }) => (
              <Checkbox key={value} value={value} label={label} />
            ))}
          </div>
        </Checkbox.Group>
        <Button type="submit" loading={create.isPending} disabled={!name.trim() || scopes.length === 0}>
          Create token
        </Button>
      </form>
      {create.isError && Object.keys(refused).length === 0 && <ProblemNotice error={create.error} />}
      {create.data && (
        <Notice tone="good" title={`Copy the token ${create.data.name} now; it is shown this once`}>
          <CopyLine text={create.data.token} label="Copy the token" />
        </Notice>
      )}
    </>
  );
}
