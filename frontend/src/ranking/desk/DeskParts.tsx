import type { ReactNode } from "react";
import { Notice } from "@/shared/ui";
import { TaskFields } from "../fields/AnswerFields";
import { Standings } from "../list/Standings";
import { useAnswerTexts } from "../texts/answer";
import styles from "./desk.module.css";
import type { DeskModel } from "./useDesk";
import type { Gaps } from "./useGaps";

/* The parts of a desk other than its responses. Each desk uses the parts that it needs. */

/** The class of the element that contains the panes. */
export const deskClass = ({ view }: DeskModel) => (view.wide ? `${styles.desk} ${styles.wide}` : styles.desk);

export function PaneHead({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={styles.paneHead}>
      <h2>{title}</h2>
      {children && <div className={styles.paneTools}>{children}</div>}
    </div>
  );
}

/** An overview of the whole order; not shown for pairs. */
export function DeskOrder({ desk: { state, excerpts, pair, dispatch } }: { desk: DeskModel }) {
  if (pair) return null;
  return (
    <div className={styles.standings}>
      <Standings ranking={state.ranking} shownOrder={state.shownOrder} texts={excerpts} dispatch={dispatch} />
    </div>
  );
}

/** The form's questions about the whole task. `onRewrite` opens the rewrite next to the responses. */
export function DeskQuestions({ desk, onRewrite }: { desk: DeskModel; onRewrite?: () => void }) {
  return (
    <TaskFields
      form={desk.assignment.form}
      fields={desk.state.fields}
      best={desk.best}
      {...(onRewrite && { onRewrite })}
      dispatch={desk.dispatch}
    />
  );
}

/**
 * The unanswered questions, shown after the first attempt to submit. Given the number of unanswered optional
 * questions, `leaveOut` returns the text that explains how to skip them.
 */
export function GapsNotice({
  gaps: { gaps, blocking, shown },
  leaveOut,
}: {
  gaps: Gaps;
  leaveOut: (count: number) => string;
}) {
  const texts = useAnswerTexts();
  if (!shown || gaps.length === 0) return null;
  return (
    <Notice tone="warn" title={texts.notAnswered}>
      <ul>
        {gaps.map(({ field, text, required }) => (
          <li key={field}>
            {text}
            {blocking && !required && ` ${texts.mayStayOpen}`}
          </li>
        ))}
      </ul>
      {!blocking && <p>{leaveOut(gaps.length)}</p>}
    </Notice>
  );
}

/** Announces the effect of each action to screen readers. */
export function Announcer({ desk: { state } }: { desk: DeskModel }) {
  return (
    <div aria-live="polite" aria-atomic="true" className="visually-hidden" data-testid="announcer">
      <span key={state.spoken.turn}>{state.spoken.text}</span>
    </div>
  );
}
