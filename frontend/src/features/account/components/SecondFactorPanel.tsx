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
import { useTexts } from "../texts";
import styles from "./account.module.css";

export function SecondFactorPanel({
  state,
  takesPassword,
}: {
  state: Account["second_factor"];
  takesPassword: boolean;
}) {
  const texts = useTexts().factor;
  const queryClient = useQueryClient();
  const [codes, setCodes] = useState<string[]>([]);
  const refresh = () => queryClient.invalidateQueries({ queryKey: accountQuery.queryKey });
  return (
    <Panel
      title={texts.title}
      aside={<Badge tone={state.enabled ? "good" : "neutral"}>{state.enabled ? texts.on : texts.off}</Badge>}
    >
      {state.unreadable && (
        <Notice tone="warn" title={texts.unreadable}>
          <p>{texts.unreadableText}</p>
        </Notice>
      )}
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
  const texts = useTexts().factor;
  return (
    <Notice tone="warn" title={texts.keep}>
      <p>{texts.keepWhy}</p>
      <CopyLine text={codes.join(" ")} label={texts.copyCodes} />
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
  const texts = useTexts();
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
          <p>{texts.factor.scan}</p>
          <CopyLine text={begin.data.secret} label={texts.factor.copySecret} />
          <TextInput
            label={texts.code}
            autoComplete="one-time-code"
            inputMode="numeric"
            value={code}
            onChange={(event) => setCode(event.currentTarget.value)}
          />
          {confirm.isError && <ProblemNotice error={confirm.error} />}
          <Button type="submit" loading={confirm.isPending} disabled={!code.trim()}>
            {texts.factor.switchOn}
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
      <p className={styles.wide}>{texts.factor.what}</p>
      {takesPassword && (
        <TextInput
          type="password"
          label={texts.factor.yourPassword}
          autoComplete="current-password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
      )}
      <Button type="submit" loading={begin.isPending} disabled={takesPassword && !password}>
        {texts.factor.setUp}
      </Button>
      {begin.isError && <ProblemNotice error={begin.error} />}
    </form>
  );
}

function QrCode({ enrolment }: { enrolment: Enrolment }) {
  const texts = useTexts().factor;
  const drawn = qrPath(enrolment.qr_svg);
  if (!drawn) return null;
  return (
    <svg className={styles.qr} viewBox={drawn.viewBox} role="img" aria-label={texts.qr}>
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
  const texts = useTexts();
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
      <p className={styles.wide}>{texts.factor.codesLeft(left)}</p>
      <TextInput
        label={texts.code}
        description={texts.factor.codeHelp}
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
        {texts.factor.newCodes}
      </Button>
      <Button
        variant="default"
        loading={disable.isPending}
        disabled={!code.trim()}
        onClick={() => disable.mutate()}
      >
        {texts.factor.switchOff}
      </Button>
      {error && <ProblemNotice error={error} />}
    </div>
  );
}
