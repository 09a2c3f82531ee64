import { Button, Textarea } from "@mantine/core";
import { useState } from "react";
import type { Role } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";

type DialogProps = { error: unknown; busy: boolean; onClose: () => void };

export function PauseDialog({
  name,
  error,
  busy,
  onPause,
  onClose,
}: DialogProps & { name: string; onPause: (reason: string) => void }) {
  const t = useTexts().pauseDialog;
  const [reason, setReason] = useState("");
  return (
    <Dialog
      title={t.title(name)}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button loading={busy} onClick={() => onPause(reason.trim())}>
            {t.confirm}
          </Button>
        </>
      }
    >
      <div className={ui.stack}>
        <p>{t.text}</p>
        <Textarea
          label={t.reason}
          description={t.reasonHelp}
          autosize
          minRows={2}
          maxRows={6}
          maxLength={500}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        {error != null && <ProblemNotice error={error} />}
      </div>
    </Dialog>
  );
}

export function GiveUpDialog({
  role,
  error,
  busy,
  onConfirm,
  onClose,
}: DialogProps & { role: Role; onConfirm: () => void }) {
  const { roleDialog: t, roles } = useTexts();
  return (
    <Dialog
      title={t.title}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" loading={busy} onClick={onConfirm}>
            {t.confirm}
          </Button>
          <Button onClick={onClose}>{t.cancel}</Button>
        </>
      }
    >
      <p>{t.text(roles[role].title.toLowerCase())}</p>
      {error != null && <ProblemNotice error={error} />}
    </Dialog>
  );
}
