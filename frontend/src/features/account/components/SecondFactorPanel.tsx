import { Button, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import type { Account, Enrolment } from "@/api/types";
import { Badge, CopyLine, Notice, Panel, ProblemNotice } from "@/shared/ui";
import {
  accountQuery,
  beginSecondFactor,
  confirmSecondFactor,
  disableSecondFactor,
  replaceRecoveryCodes,
} from "../api/account";
import { qrPath } from "../qr";
import styles from "./account.module.css";

export function SecondFactorPanel({
  state,
  takesPassword,
}: {
  state: Account["second_factor"];
  takesPassword: boolean;
}) {
  const queryClient = useQueryClient();
  const [codes, setCodes] = useState<string[]>([]);
  const refresh = () => queryClient.invalidateQueries({ queryKey: accountQuery.queryKey });
  return (
    <Panel
      title="Second factor"
      aside={<Badge tone={state.enabled ? "good" : "neutral"}>{state.enabled ? "on" : "off"}</Badge>}
    >
      {codes.length > 0 && <RecoveryCodes codes={codes} />}
      {state.enabled ? (
        <Enabled
          left={state.recovery_codes_left}
          onNewCodes={(fresh) => {
            setCodes(fresh);
            void refresh();
          }}
          onDisabled={() => {
            setCodes([]);
            void refresh();
          }}
        />
      ) : (
        <Enrol
          takesPassword={takesPassword}
          onEnabled={(fresh) => {
            setCodes(fresh);
            void refresh();
          }}
        />
      )}
    </Panel>
  );
}

function RecoveryCodes({ codes }: { codes: string[] }) {
  return (
    <Notice tone="warn" title="Keep these recovery codes; they are shown this once">
      <p>Each logs you in one time, for when your phone is lost.</p>
      <CopyLine text={codes.join(" ")} label="Copy the recovery codes" />
    </Notice>
  );
}

function Enrol({
  takesPassword,
  onEnabled,
}: {
  takesPassword: boolean;
  onEnabled: (codes: string[]) => void;
}) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const begin = useMutation({ mutationFn: () => beginSecondFactor(password) });
  const confirm = useMutation({ mutationFn: () => confirmSecondFactor(code), onSuccess: onEnabled });
  if (begin.data)
    return (
      <form
        className={styles.enrol}
        onSubmit={(event: FormEvent) => {
          event.preventDefault();
          confirm.mutate();
        }}
      >
        <QrCode enrolment={begin.data} />
        <div className={styles.enrolText}>
          <p>Scan this with an authenticator app, or type the secret into it. Then send the code it shows.</p>
          <CopyLine text={begin.data.secret} label="Copy the secret" />
          <TextInput
            label="Code"
            autoComplete="one-time-code"
            inputMode="numeric"
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          {confirm.isError && <ProblemNotice error={confirm.error} />}
          <Button type="submit" loading={confirm.isPending} disabled={!code.trim()}>
            Switch on
          </Button>
        </div>
      </form>
    );
  return (
    <form
      className={styles.form}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        begin.mutate();
      }}
    >
      <p className={styles.wide}>Logging in then takes a code of an app on your phone, too.</p>
      {takesPassword && (
        <TextInput
          type="password"
          label="Your password"
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
      )}
      <Button type="submit" loading={begin.isPending} disabled={takesPassword && !password}>
        Set up
      </Button>
      {begin.isError && <ProblemNotice error={begin.error} />}
    </form>
  );
}

function QrCode({ enrolment }: { enrolment: Enrolment }) {
  const drawn = qrPath(enrolment.qr_svg);
  if (!drawn) return null;
  return (
    <svg className={styles.qr} viewBox={drawn.viewBox} role="img" aria-label="QR code of the secret">
      <path d={drawn.d} fill="currentColor" />
    </svg>
  );
}

function Enabled({
  left,
  onNewCodes,
  onDisabled,
}: {
  left: number;
  onNewCodes: (codes: string[]) => void;
  onDisabled: () => void;
}) {
  const [code, setCode] = useState("");
  const renew = useMutation({
    mutationFn: () => replaceRecoveryCodes(code),
    onSuccess: (fresh) => {
      setCode("");
      onNewCodes(fresh);
    },
  });
  const disable = useMutation({ mutationFn: () => disableSecondFactor(code), onSuccess: onDisabled });
  const error = renew.error ?? disable.error;
  return (
    <div className={styles.form}>
      <p className={styles.wide}>{left} recovery codes are left.</p>
      <TextInput
        label="Code"
        description="Of your app, or a recovery code; for either change."
        autoComplete="one-time-code"
        value={code}
        onChange={(event) => setCode(event.currentTarget.value)}
      />
      <Button
        variant="default"
        loading={renew.isPending}
        disabled={!code.trim()}
        onClick={() => renew.mutate()}
      >
        New recovery codes
      </Button>
      <Button
        variant="default"
        loading={disable.isPending}
        disabled={!code.trim()}
        onClick={() => disable.mutate()}
      >
        Switch off
      </Button>
      {error && <ProblemNotice error={error} />}
    </div>
  );
}
