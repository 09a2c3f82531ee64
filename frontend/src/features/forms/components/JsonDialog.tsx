import { Button, Textarea } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { AnswerForm } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { checkForm } from "../api/forms";
import { useTexts } from "../texts";
import styles from "./forms.module.css";

const COPIED_MS = 1_500;

/** The form as text, to copy or to paste. The server validates the text and fills in defaults. */
export function JsonDialog({
  slug,
  form,
  onUse,
  onClose,
}: {
  slug: string;
  form: AnswerForm;
  onUse: (form: AnswerForm) => void;
  onClose: () => void;
}) {
  const t = useTexts().jsonView;
  const [text, setText] = useState(() => JSON.stringify(form, null, 2));
  const [mistake, setMistake] = useState<string | null>(null);
  const clipboard = useClipboard({ timeout: COPIED_MS });
  const use = useMutation({
    mutationFn: (given: unknown) => checkForm(slug, given),
    onSuccess: (effect) => {
      onUse(effect.form);
      onClose();
    },
  });

  function apply() {
    use.reset();
    try {
      const given: unknown = JSON.parse(text);
      setMistake(null);
      use.mutate(given);
    } catch (error) {
      setMistake(t.notJson(error instanceof Error ? error.message : String(error)));
    }
  }

  return (
    <Dialog
      title={t.title}
      onClose={onClose}
      wide
      actions={
        <>
          <Button variant="default" onClick={() => clipboard.copy(text)}>
            {clipboard.copied ? t.copied : t.copy}
          </Button>
          <Button loading={use.isPending} onClick={apply}>
            {t.apply}
          </Button>
        </>
      }
    >
      <div className={styles.section}>
        <Textarea
          label={t.label}
          description={t.help}
          classNames={{ input: styles.mono ?? "" }}
          autosize
          minRows={12}
          maxRows={24}
          spellCheck={false}
          value={text}
          error={mistake ?? false}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        {use.isError && <ProblemNotice error={use.error} />}
      </div>
    </Dialog>
  );
}
