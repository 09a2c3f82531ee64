import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useCallback, useMemo, useReducer, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { Assignment, Project, SkipWay } from "@/api/types";
import { Conversation } from "@/shared/Conversation";
import { Icon } from "@/shared/Icon";
import { Notice, ProblemNotice } from "@/shared/ui";
import { missing, restore, toAnswer, toDraft } from "../answer";
import { skipTask } from "../api/assignments";
import { type DeskAction, deskReducer, openDesk } from "../deskState";
import { useView } from "../layout/useView";
import { isTouched, type Ranking } from "../ranking/ranking";
import { isPairForm, isVerdict, positionOf, sidesOf, sideWords } from "../ranking/sides";
import { keyHint, type Mode } from "../shortcuts";
import { useActiveTime } from "../useActiveTime";
import { useDeskKeys } from "../useDeskKeys";
import { newestDraft, useDraft } from "../useDraft";
import { useLabels } from "../useLabels";
import { useLease } from "../useLease";
import { useSubmit } from "../useSubmit";
import { ResponseFields, TaskFields } from "./AnswerFields";
import { GuidelinesDialog, ShortcutsDialog, SkipDialog, UntouchedDialog } from "./DeskDialogs";
import styles from "./desk.module.css";
import { ResponsesSection } from "./ResponsesSection";
import { SaveLine } from "./SaveLine";
import { Standings } from "./Standings";

type Open = "help" | "guidelines" | "untouched" | "skip" | null;

type Props = {
  project: Project;
  assignment: Assignment;
  /** Said beside the submit button: what just happened to the answer before this one. */
  lastDone: string;
  onDone: (what: "submitted" | "skipped") => void;
  onAskAgain: () => void;
};

/** The order in one line, for screens too narrow for the standings beside the responses. */
function OrderLine({ ranking, letters }: { ranking: Ranking; letters: ReadonlyMap<string, string> }) {
  return (
    <div className={styles.orderLine} aria-hidden="true">
      {ranking.tiers.map((tier) => (
        <span key={tier[0]} data-current={tier.includes(ranking.focus)}>
          {tier.map((id) => letters.get(id)).join(" = ")}
        </span>
      ))}
    </div>
  );
}

/** To the first control of a question, and into view; with two responses at a time its card may be hidden until `show`. */
function focusField(root: HTMLElement | null, field: string, show: (responseId: string) => void): void {
  const part = root?.querySelector<HTMLElement>(`[data-field="${CSS.escape(field)}"]`);
  const about = part?.closest<HTMLElement>("[data-response-id]")?.dataset.responseId;
  if (about) flushSync(() => show(about));
  const control = part?.matches("input, textarea")
    ? part
    : part?.querySelector<HTMLElement>("input, textarea");
  control?.focus({ preventScroll: true });
  part?.scrollIntoView({ block: "center" });
}

/** One task on the desk. Keyed by assignment: a new task is a new desk. */
export function Desk({ project, assignment, lastDone, onDone, onAskAgain }: Props) {
  const { form } = assignment;
  const [draftAtStart] = useState(() => newestDraft(assignment));
  const [desk, change] = useReducer(deskReducer, null, () => openDesk(assignment, draftAtStart));
  const [open, setOpen] = useState<Open>(null);
  const [raw, setRaw] = useState(false);
  const cards = useRef<HTMLElement>(null);

  const activeMs = useActiveTime(
    useMemo(() => restore(assignment, draftAtStart).durationMs, [assignment, draftAtStart]),
  );
  const { ranking, fields, shownOrder } = desk;
  const draft = toDraft(ranking, fields, activeMs());
  const { status, idempotencyKey, finish, keepForSubmit } = useDraft(assignment, draft);
  const leaseLost = useLease(assignment);
  const { submission, submit } = useSubmit(assignment.id, idempotencyKey, () => {
    finish();
    onDone("submitted");
  });

  // An answer on its way is repeated to the letter until the server has it, so it can't be changed meanwhile.
  const onItsWay = submission.state === "sending" || submission.state === "waiting";
  const locked = useRef(onItsWay);
  locked.current = onItsWay;
  const dispatch = useCallback((action: DeskAction) => {
    if (!locked.current || action.type.startsWith("focus") || action.type === "say") change(action);
  }, []);

  const { letters, excerpts } = useLabels(assignment.responses, shownOrder);

  const skip = useMutation({
    mutationFn: ({ reason, way }: { reason: string; way: SkipWay }) =>
      skipTask(assignment.id, assignment.token, reason, way),
    onSuccess: () => {
      finish();
      onDone("skipped");
    },
  });

  const refusal = submission.state === "refused" ? submission.problem : null;
  const over = refusal?.status === 409 ? refusal : leaseLost;
  const pair = isPairForm(form);
  const view = useView(pair, dispatch);
  const mode: Mode = pair ? "pair" : form.top_k ? "best" : "order";
  const sides = useMemo(() => sidesOf(form), [form]);
  const position = fields.not_rankable ? -1 : positionOf(sides, shownOrder, ranking.tiers, fields);
  const gaps = missing(form, fields, ranking, letters);
  const blocking = gaps.some(({ required }) => required);
  const [gapsShown, setGapsShown] = useState(false);
  const root = useRef<HTMLDivElement>(null);

  function send() {
    setOpen(null);
    keepForSubmit();
    void submit(toAnswer(toDraft(ranking, fields, activeMs()), assignment.token, form, shownOrder));
  }

  function trySubmit(orderConfirmed = false) {
    if (onItsWay) return send();
    if (over) return;
    const ordered = !fields.not_rankable && !(fields.all_bad && isVerdict(form));
    // Only where the shown order is an answer already: else there is a gap instead.
    const asShown = ranking.atMost === null && !isTouched(ranking);
    if (!orderConfirmed && ordered && asShown) return setOpen("untouched");
    setOpen(null);
    if (blocking || (gaps.length > 0 && !gapsShown)) {
      setGapsShown(true);
      const open = gaps.map(({ text }) => text).join("; ");
      dispatch({ type: "say", text: `Not submitted yet. Not answered: ${open}.` });
      const first = gaps.find(({ required }) => required) ?? gaps[0];
      if (first) focusField(root.current, first.field, (id) => dispatch({ type: "focus", id }));
      return;
    }
    send();
  }

  const toggle = (which: Exclude<Open, null>) => setOpen((current) => (current === which ? null : which));
  useDeskKeys({
    active: open === null,
    mode,
    cards,
    ranking,
    commands: {
      focus: ranking.focus,
      dispatch,
      submit: () => trySubmit(),
      skip: () => setOpen("skip"),
      toggleRaw: () => setRaw((now) => !now),
      toggleGuidelines: () => toggle("guidelines"),
      toggleHelp: () => toggle("help"),
      view,
    },
  });

  const top = position < 0 && pair ? undefined : ranking.tiers[0];
  const best = assignment.responses.find(({ id }) => top?.length === 1 && top[0] === id)?.text ?? null;
  const questionsAbout = (id: string) =>
    form.ratings.length + form.flags.length > 0 && (
      <ResponseFields
        responseId={id}
        letter={letters.get(id) ?? ""}
        form={form}
        fields={fields}
        dispatch={dispatch}
      />
    );

  // The server's copy is ahead of this tab's: saving stops, ranking and submitting do not.
  const behind = status.state === "refused" && !over ? status.problem : null;

  let trouble: ReactNode = null;
  if (over) {
    trouble = (
      <Notice
        tone="warn"
        title="This task is no longer yours"
        actions={
          <Button size="xs" onClick={onAskAgain}>
            Get a task
          </Button>
        }
      >
        <p>{over.detail || over.title}</p>
        <p>
          What you ranked is kept as a draft, here and on the server. It has not been counted as an answer.
        </p>
      </Notice>
    );
  } else if (submission.state === "waiting") {
    trouble = (
      <Notice
        tone="warn"
        title="Not sent yet"
        actions={
          <Button size="xs" variant="default" onClick={send}>
            Send now
          </Button>
        }
      >
        <p>
          {submission.problem.title}. Your answer is kept and will be sent, once, when the server answers.
        </p>
      </Notice>
    );
  } else if (refusal) {
    trouble = <ProblemNotice error={refusal} />;
  } else if (behind) {
    trouble = (
      <Notice
        tone="warn"
        title="Not saved on the server"
        actions={
          <Button size="xs" variant="default" onClick={onAskAgain}>
            Load the server’s version
          </Button>
        }
      >
        <p>{behind.detail || behind.title}</p>
        <p>Your work is kept in this browser, and you can still submit it.</p>
      </Notice>
    );
  }

  return (
    <div className={view.wide ? `${styles.desk} ${styles.wide}` : styles.desk} ref={root}>
      <section className={styles.prompt} aria-label="Conversation">
        <div className={styles.paneHead}>
          <h2>Conversation</h2>
          <div className={styles.paneTools}>
            <Button
              size="compact-xs"
              variant={raw ? "light" : "subtle"}
              color="gray"
              aria-pressed={raw}
              title={`Raw text${keyHint("raw")}`}
              onClick={() => setRaw(!raw)}
            >
              Raw text
            </Button>
            <Button
              size="compact-xs"
              variant="subtle"
              color="gray"
              title={`Guidelines${keyHint("guidelines")}`}
              onClick={() => setOpen("guidelines")}
            >
              Guidelines
            </Button>
          </div>
        </div>
        <Conversation messages={assignment.task.prompt.messages} raw={raw} />
      </section>

      <ResponsesSection
        form={form}
        responses={assignment.responses}
        desk={desk}
        sides={sides}
        position={position}
        letters={letters}
        excerpts={excerpts}
        raw={raw}
        view={view}
        dispatch={dispatch}
        ref={cards}
      >
        {questionsAbout}
      </ResponsesSection>

      <aside className={styles.verdict} aria-label={pair ? "Your answer" : "Your ranking"}>
        <div className={styles.paneHead}>
          <h2>{pair ? "Your answer" : "Your ranking"}</h2>
          {!pair && (
            <div className={styles.paneTools}>
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                leftSection={<Icon name="undo" size={14} />}
                disabled={ranking.past.length === 0}
                title={`Undo${keyHint("undo")}`}
                onClick={() => dispatch({ type: "undo" })}
              >
                Undo
              </Button>
            </div>
          )}
        </div>
        {pair ? (
          <p className={styles.said} data-open={position < 0}>
            {sides[position]
              ? sideWords(sides[position])
              : fields.not_rankable
                ? "Not comparable"
                : "Not chosen yet"}
          </p>
        ) : (
          <div className={styles.standings}>
            <Standings ranking={ranking} shownOrder={shownOrder} texts={excerpts} dispatch={dispatch} />
          </div>
        )}
        <TaskFields form={form} fields={fields} best={best} dispatch={dispatch} />
        {gapsShown && gaps.length > 0 && (
          <Notice tone="warn" title="Not answered yet">
            <ul>
              {gaps.map(({ field, text, required }) => (
                <li key={field}>
                  {text}
                  {blocking && !required && " (may stay open)"}
                </li>
              ))}
            </ul>
            {!blocking && <p>Answer, or submit again to leave {gaps.length === 1 ? "it" : "them"} out.</p>}
          </Notice>
        )}
        {trouble}
        <div className={styles.submitRow}>
          {!pair && <OrderLine ranking={ranking} letters={letters} />}
          <Button
            className={styles.submit ?? ""}
            loading={submission.state === "sending"}
            disabled={over !== null}
            onClick={() => trySubmit()}
            title={`Submit${keyHint("submit")}`}
          >
            {pair ? "Submit answer" : "Submit ranking"}
          </Button>
          <Button variant="default" title={`Skip${keyHint("skip")}`} onClick={() => setOpen("skip")}>
            Skip
          </Button>
        </div>
        <div className={styles.foot}>
          <SaveLine status={status} touched={isTouched(ranking)} lastDone={lastDone} />
          <button type="button" className={styles.keysButton} onClick={() => setOpen("help")}>
            <Icon name="keys" size={15} /> Keys <kbd>?</kbd>
          </button>
        </div>
      </aside>

      <div aria-live="polite" aria-atomic="true" className="visually-hidden" data-testid="announcer">
        <span key={desk.spoken.turn}>{desk.spoken.text}</span>
      </div>

      {open === "help" && <ShortcutsDialog mode={mode} onClose={() => setOpen(null)} />}
      {open === "guidelines" && (
        <GuidelinesDialog guidelines={project.guidelines} onClose={() => setOpen(null)} />
      )}
      {open === "untouched" && (
        <UntouchedDialog onSubmit={() => trySubmit(true)} onClose={() => setOpen(null)} />
      )}
      {open === "skip" && (
        <SkipDialog
          error={skip.error}
          busy={skip.isPending}
          ways={project.skip_ways}
          onSkip={(reason, way) => skip.mutate({ reason, way })}
          onClose={() => setOpen(null)}
        />
      )}
    </div>
  );
}
