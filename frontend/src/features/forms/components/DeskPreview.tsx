import { Button, NativeSelect } from "@mantine/core";
import { Component, memo, type ReactNode, useMemo, useState } from "react";
import type { AnswerForm, Assignment } from "@/api/types";
import { DeskQuestions } from "@/ranking/desk/DeskParts";
import { DeskResponses } from "@/ranking/desk/DeskResponses";
import { useDesk } from "@/ranking/desk/useDesk";
import { AT_FIRST, type Memory } from "@/ranking/layout/remembered";
import { useTexts } from "../texts";
import styles from "./forms.module.css";

const LEAST = 2;
const MOST = 10;

/**
 * The numbers of responses that a task of this form can have. Bounds are clamped to the range from 2 to 10.
 */
function sizesOf({ responses: { min, max } }: AnswerForm): number[] {
  const from = Math.min(Math.max(LEAST, Math.round(min)), MOST);
  const to = Math.max(from, Math.min(MOST, Math.round(max)));
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const PREFERRED = 4;

/**
 * The desk with sample responses. The preview has no lease and no draft, and sends nothing. It is memoised,
 * so that an editor that defers the form does not render the preview with every key press.
 */
export const DeskPreview = memo(function DeskPreview({ form }: { form: AnswerForm }) {
  const t = useTexts().preview;
  const sizes = sizesOf(form);
  const [wanted, setWanted] = useState(PREFERRED);
  const [round, setRound] = useState(0);
  // The preview starts with the annotators' default view. The preview stores its view settings separately, so
  // that changes in the preview do not affect the manager's own desk.
  const memory = useState(AT_FIRST);
  const size = sizes.includes(wanted)
    ? wanted
    : (sizes.findLast((one) => one <= wanted) ?? sizes[0] ?? LEAST);
  return (
    <section className={styles.preview} aria-label={t.title} data-testid="form-preview">
      <header className={styles.previewHead}>
        <div>
          <h2>{t.title}</h2>
          <p className={styles.dim}>{t.lead}</p>
        </div>
        <div className={styles.previewTools}>
          {sizes.length > 1 && (
            <NativeSelect
              size="xs"
              aria-label={t.count}
              data={sizes.map(String)}
              value={String(size)}
              onChange={(event) => setWanted(Number(event.currentTarget.value))}
            />
          )}
          <Button size="xs" variant="default" onClick={() => setRound(round + 1)}>
            {t.again}
          </Button>
        </div>
      </header>
      <Unbreakable key={JSON.stringify(form)} otherwise={<p className={styles.dim}>{t.broken}</p>}>
        <Sample key={`${size} ${round}`} form={form} size={size} memory={memory} />
      </Unbreakable>
    </section>
  );
});

function Sample({ form, size, memory }: { form: AnswerForm; size: number; memory: Memory }) {
  const t = useTexts().preview;
  const assignment = useMemo(() => sampleOf(form, t.prompt, t.responses.slice(0, size)), [form, size, t]);
  const desk = useDesk(assignment, null, memory);
  return (
    <div className={styles.sample}>
      <p className={styles.prompt}>{t.prompt}</p>
      <DeskResponses desk={desk} />
      <aside aria-label={t.verdict}>
        <DeskQuestions desk={desk} />
      </aside>
    </div>
  );
}

/**
 * A sample assignment, limited to the fields that the desk needs. The assignment's token is invalid and never
 * sent.
 */
function sampleOf(form: AnswerForm, prompt: string, texts: readonly string[]): Assignment {
  return {
    id: "sample",
    token: "",
    expires_at: "9999-12-31T00:00:00Z",
    task: { id: "sample", prompt: { messages: [{ role: "user", content: prompt }] } },
    responses: texts.map((text, index) => ({ id: `sample-${index}`, text })),
    form,
    draft: null,
    draft_version: 0,
  } as Assignment;
}

/** Shows `otherwise` if rendering fails, because a form can be invalid while it is being edited. */
class Unbreakable extends Component<{ otherwise: ReactNode; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    return this.state.failed ? this.props.otherwise : this.props.children;
  }
}
