import { Button, SegmentedControl } from "@mantine/core";
import { useState } from "react";
import type { ShownResponse } from "@/api/types";
import { wordsIn } from "@/ranking/answer/wordCount";
import { useAnswerTexts } from "@/ranking/texts/answer";
import { TextArea } from "@/shared/fields/TextArea";
import { Markdown } from "@/shared/markdown/Markdown";
import { Dialog } from "@/shared/ui/Dialog";
import { useFlowTexts } from "../texts/flow";
import styles from "./rewrite.module.css";

/**
 * A dialog that shows a response next to a field for a better version of it. The desk receives every change
 * immediately.
 */
export function RewriteDialog({
  title,
  responses,
  letters,
  best,
  rewrite,
  onChange,
  onClose,
}: {
  title: string;
  responses: readonly ShownResponse[];
  letters: ReadonlyMap<string, string>;
  /** The response that is initially shown as the original. */
  best: string;
  rewrite: string | null;
  onChange: (rewrite: string | null) => void;
  onClose: () => void;
}) {
  const t = useFlowTexts();
  const answer = useAnswerTexts();
  const [beside, setBeside] = useState(best);
  const original = responses.find(({ id }) => id === beside)?.text ?? "";
  return (
    <Dialog
      title={title}
      wide
      onClose={onClose}
      actions={
        <>
          <Button variant="default" disabled={rewrite === original} onClick={() => onChange(original)}>
            {t.rewriteStart(letters.get(beside) ?? "")}
          </Button>
          <Button onClick={onClose}>{t.rewriteDone}</Button>
        </>
      }
    >
      <div className={styles.sides}>
        <section aria-label={t.rewriteOriginal}>
          <div className={styles.head}>
            <SegmentedControl
              size="xs"
              aria-label={t.rewriteOriginal}
              value={beside}
              data={responses.map(({ id }) => ({ value: id, label: letters.get(id) ?? "" }))}
              onChange={setBeside}
            />
            <span className={styles.count}>{answer.words(wordsIn(original))}</span>
          </div>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
          <div className={styles.original} tabIndex={0}>
            <Markdown text={original} />
          </div>
        </section>
        <section>
          <div className={styles.head}>
            <span>{t.rewriteYours}</span>
            <span className={styles.count}>{answer.words(wordsIn(rewrite ?? ""))}</span>
          </div>
          <TextArea
            aria-label={title}
            data-autofocus
            dir="auto"
            minRows={10}
            maxRows={22}
            value={rewrite ?? ""}
            onChange={(event) => onChange(event.currentTarget.value || null)}
            onKeyDown={(event) => {
              if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
              // Stops propagation, because the desk handles keys again once the dialog is closed and would
              // otherwise submit the answer.
              event.preventDefault();
              event.stopPropagation();
              onClose();
            }}
          />
        </section>
      </div>
    </Dialog>
  );
}
