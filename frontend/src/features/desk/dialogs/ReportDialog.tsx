import { Button, Radio } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { TaskProblemKind } from "@/api/types";
import { TextArea } from "@/shared/fields/TextArea";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { reportProblem } from "../api/assignments";
import { useFlowTexts } from "../texts/flow";
import styles from "./dialogs.module.css";

const KINDS: readonly TaskProblemKind[] = ["unreadable", "wrong_language", "unsafe", "duplicate", "other"];

export function ReportDialog({
  assignmentId,
  onSent,
  onClose,
}: {
  assignmentId: string;
  onSent: () => void;
  onClose: () => void;
}) {
  const t = useFlowTexts();
  const [kind, setKind] = useState<TaskProblemKind | null>(null);
  const [text, setText] = useState("");
  const send = useMutation({
    mutationFn: (chosen: TaskProblemKind) => reportProblem(assignmentId, chosen, text),
    networkMode: "always",
    onSuccess: onSent,
  });
  const wantsWords = kind === "other" && !text.trim();
  return (
    <Dialog
      title={t.reportTitle}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button
            disabled={kind === null || wantsWords}
            loading={send.isPending}
            onClick={() => kind && send.mutate(kind)}
          >
            {t.reportSend}
          </Button>
        </>
      }
    >
      <p className={styles.note}>{t.reportNote}</p>
      <Radio.Group
        label={t.reportKind}
        my={12}
        value={kind}
        onChange={(value) => setKind(value as TaskProblemKind)}
      >
        {KINDS.map((one, index) => (
          <Radio
            key={one}
            value={one}
            label={t.reportKinds[one]}
            mt={6}
            {...(index === 0 && { "data-autofocus": true })}
          />
        ))}
      </Radio.Group>
      <TextArea
        label={t.reportText}
        description={wantsWords ? t.reportTextOther : undefined}
        minRows={2}
        maxRows={8}
        maxLength={2000}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      {send.isError && <ProblemNotice error={send.error} />}
    </Dialog>
  );
}
