import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, Suspense, useEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import type { Answer, Project, SkipWay } from "@/api/types";
import { missing, restore, toAnswer, toDraft } from "@/ranking/answer/answer";
import { ResponsesSection } from "@/ranking/cards/ResponsesSection";
import styles from "@/ranking/desk/desk.module.css";
import { useActiveTime } from "@/ranking/desk/useActiveTime";
import { useLease } from "@/ranking/desk/useLease";
import { useVerdict } from "@/ranking/desk/useVerdict";
import { TaskFields } from "@/ranking/fields/AnswerFields";
import { KeyCap } from "@/ranking/keys/KeyCap";
import { keyHint, type Mode } from "@/ranking/keys/shortcuts";
import { useRemembered } from "@/ranking/layout/remembered";
import { useView } from "@/ranking/layout/useView";
import { Standings } from "@/ranking/list/Standings";
import { isTouched, type Ranking, slotsOf } from "@/ranking/order/ranking";
import { isVerdict, sideWords } from "@/ranking/order/sides";
import { useDeskState } from "@/ranking/state/useDeskState";
import { useLabels } from "@/ranking/state/useLabels";
import { useOrderTexts } from "@/ranking/texts/order";
import { Conversation } from "@/shared/markdown/Conversation";
import { Notice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { skipTask } from "../api/assignments";
import {
  fetchSeldom,
  GuidelinesDialog,
  ReportDialog,
  RewriteDialog,
  ShortcutsDialog,
  SkipDialog,
} from "../components/later";
import { PauseDialog } from "../dialogs/PauseDialog";
import { UntouchedDialog } from "../dialogs/UntouchedDialog";
import { draftOf, useDraft } from "../draft/useDraft";
import type { Hand } from "../flow/flow";
import { useDeskTexts } from "../texts/desk";
import { DeskFoot } from "./DeskFoot";
import { HandNotice } from "./HandNotice";
import { KeyLine } from "./KeyLine";
import { SaveLine } from "./SaveLine";
import { useDeskKeys } from "./useDeskKeys";
import { usePause } from "./usePause";

type Open = "help" | "guidelines" | "untouched" | "skip" | "report" | "rewrite" | null;

type Props = {
  project: Project;
  hand: Hand;
  /** Said beside the submit button: what just happened to the answer before this one. */
  lastDone: string;
  onGive: (answer: Answer) => void;
  onSkipped: () => void;
  onTakeBack: () => void;
  /** To another task: this one is lost, or an answer stays as it was. */
  onPutDown: () => void;
  /** The server's copy of this task, in place of this one. */
  onReload: () => void;
  /** How the person gets on, below everything. */
  pace?: ReactNode;
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
export function Desk({
  project,
  hand,
  lastDone,
  onGive,
  onSkipped,
  onTakeBack,
  onPutDown,
  onReload,
  pace,
}: Props) {
  const t = useDeskTexts();
  const order = useOrderTexts();
  const { assignment } = hand;
  const { form } = assignment;
  const [draftAtStart] = useState(() => draftOf(hand));
  const [desk, dispatch] = useDeskState(assignment, draftAtStart);
  const [open, setOpen] = useState<Open>(null);
  const [reported, setReported] = useState(false);
  const [raw, setRaw] = useState(false);
  const cards = useRef<HTMLElement>(null);
  useEffect(fetchSeldom, []);

  const pause = usePause();
  const activeMs = useActiveTime(
    useMemo(() => restore(assignment, draftAtStart).durationMs, [assignment, draftAtStart]),
    pause.paused,
  );
  const { ranking, fields, shownOrder } = desk;
  const draft = toDraft(ranking, fields, activeMs());
  const { status, finish } = useDraft(hand, draft);
  const lease = useLease(assignment, undefined, pause.until);

  const { letters, excerpts } = useLabels(assignment.responses, shownOrder);
  const { pair, sides, position, top, best, questionsAbout } = useVerdict(
    form,
    assignment.responses,
    desk,
    letters,
    dispatch,
  );

  const skip = useMutation({
    mutationFn: ({ reason, way }: { reason: string; way: SkipWay }) =>
      skipTask(assignment.id, assignment.token, reason, way),
    onSuccess: () => {
      finish();
      onSkipped();
    },
  });

  const over = hand.lost || lease.lost !== null;
  const view = useView(pair, dispatch, useRemembered());
  const mode: Mode = pair ? "pair" : form.top_k ? "best" : "order";
  const gaps = missing(form, fields, ranking, letters, t.gaps);
  const blocking = gaps.some(({ required }) => required);
  const [gapsShown, setGapsShown] = useState(false);
  const root = useRef<HTMLDivElement>(null);

  function send() {
    const answer = toAnswer(toDraft(ranking, fields, activeMs()), assignment.token, form, shownOrder);
    finish();
    onGive(answer);
  }

  function trySubmit(orderConfirmed = false) {
    if (over) return;
    const ordered = !fields.not_rankable && !(fields.all_bad && isVerdict(form));
    // Only where the shown order is an answer already: else there is a gap instead.
    const asShown = ranking.atMost === null && !isTouched(ranking);
    if (!orderConfirmed && ordered && asShown) return setOpen("untouched");
    setOpen(null);
    if (blocking || (gaps.length > 0 && !gapsShown)) {
      setGapsShown(true);
      const open = gaps.map(({ text }) => text).join("; ");
      dispatch({ type: "say", text: t.notSubmitted(open) });
      const first = gaps.find(({ required }) => required) ?? gaps[0];
      if (first) focusField(root.current, first.field, (id) => dispatch({ type: "focus", id }));
      return;
    }
    send();
  }

  const toggle = (which: Exclude<Open, null>) => setOpen((current) => (current === which ? null : which));
  useDeskKeys({
    active: open === null && !pause.paused,
    mode,
    cards,
    ranking,
    commands: {
      focus: ranking.focus,
      dispatch,
      submit: () => trySubmit(),
      skip: () => hand.how === "submit" && setOpen("skip"),
      takeBack: onTakeBack,
      report: () => setOpen("report"),
      rewrite: () => form.rewrite && setOpen("rewrite"),
      pause: pause.begin,
      toggleRaw: () => setRaw((now) => !now),
      toggleGuidelines: () => toggle("guidelines"),
      toggleHelp: () => toggle("help"),
      view,
    },
  });

  return (
    <div
      className={view.wide ? `${styles.desk} ${styles.wide}` : styles.desk}
      data-paused={pause.paused}
      ref={root}
    >
      <section className={styles.prompt} aria-label={t.conversation}>
        <div className={styles.paneHead}>
          <h2>{t.conversation}</h2>
          <div className={styles.paneTools}>
            <Button
              size="compact-xs"
              variant={raw ? "light" : "subtle"}
              color="gray"
              aria-pressed={raw}
              rightSection={<KeyCap of="raw" />}
              title={t.raw + keyHint("raw")}
              onClick={() => setRaw(!raw)}
            >
              {t.raw}
            </Button>
            <Button
              size="compact-xs"
              variant="subtle"
              color="gray"
              rightSection={<KeyCap of="guidelines" />}
              title={t.guidelines + keyHint("guidelines")}
              onClick={() => setOpen("guidelines")}
            >
              {t.guidelines}
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
        keys={
          view.keyLine && (
            <KeyLine
              mode={mode}
              places={pair ? sides.length : slotsOf(ranking)}
              ties={form.ties}
              across={view.axis === "across"}
              onHide={view.toggleKeyLine}
            />
          )
        }
        dispatch={dispatch}
        ref={cards}
      >
        {questionsAbout}
      </ResponsesSection>

      <aside className={styles.verdict} aria-label={pair ? t.yourAnswer : t.yourRanking}>
        <div className={styles.paneHead}>
          <h2>{pair ? t.yourAnswer : t.yourRanking}</h2>
          {!pair && (
            <div className={styles.paneTools}>
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                leftSection={<Icon name="undo" size={14} />}
                disabled={ranking.past.length === 0}
                rightSection={<KeyCap of="undo" />}
                title={t.undo + keyHint("undo")}
                onClick={() => dispatch({ type: "undo" })}
              >
                {t.undo}
              </Button>
            </div>
          )}
        </div>
        {pair ? (
          <p className={styles.said} data-open={position < 0}>
            {sides[position]
              ? sideWords(sides[position], order)
              : fields.not_rankable
                ? t.notComparable
                : t.notChosen}
          </p>
        ) : (
          <div className={styles.standings}>
            <Standings ranking={ranking} shownOrder={shownOrder} texts={excerpts} dispatch={dispatch} />
          </div>
        )}
        <TaskFields
          form={form}
          fields={fields}
          best={best}
          onRewrite={() => setOpen("rewrite")}
          dispatch={dispatch}
        />
        {gapsShown && gaps.length > 0 && (
          <Notice tone="warn" title={t.notAnswered}>
            <ul>
              {gaps.map(({ field, text, required }) => (
                <li key={field}>
                  {text}
                  {blocking && !required && ` ${t.mayStayOpen}`}
                </li>
              ))}
            </ul>
            {!blocking && <p>{t.answerOrLeaveOut(gaps.length)}</p>}
          </Notice>
        )}
        <HandNotice
          hand={hand}
          lease={lease}
          status={status}
          onPutDown={onPutDown}
          onReload={() => {
            finish();
            onReload();
          }}
        />
        <div className={styles.submitRow}>
          {!pair && <OrderLine ranking={ranking} letters={letters} />}
          <Button
            className={styles.submit ?? ""}
            disabled={over}
            onClick={() => trySubmit()}
            rightSection={<KeyCap of="submit" />}
            title={(pair ? t.submitAnswer : t.submitRanking) + keyHint("submit")}
          >
            {pair ? t.submitAnswer : t.submitRanking}
          </Button>
          {hand.how === "submit" && (
            <Button
              variant="default"
              rightSection={<KeyCap of="skip" />}
              title={t.skip + keyHint("skip")}
              onClick={() => setOpen("skip")}
            >
              {t.skip}
            </Button>
          )}
        </div>
        <DeskFoot
          onTakeBack={onTakeBack}
          onPause={pause.begin}
          onReport={() => setOpen("report")}
          onHelp={() => setOpen("help")}
        >
          <SaveLine
            status={status}
            how={hand.how}
            touched={isTouched(ranking)}
            lastDone={lastDone}
            reported={reported}
          />
        </DeskFoot>
        {pace}
      </aside>

      <div aria-live="polite" aria-atomic="true" className="visually-hidden" data-testid="announcer">
        <span key={desk.spoken.turn}>{desk.spoken.text}</span>
      </div>

      <Suspense fallback={null}>
        {open === "help" && (
          <ShortcutsDialog mode={mode} form={form} view={view} onClose={() => setOpen(null)} />
        )}
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
        {open === "rewrite" && form.rewrite && (
          <RewriteDialog
            title={form.rewrite.label}
            responses={assignment.responses}
            letters={letters}
            best={top?.[0] ?? shownOrder[0] ?? ""}
            rewrite={fields.rewrite}
            onChange={(rewrite) => dispatch({ type: "fields", change: { rewrite } })}
            onClose={() => setOpen(null)}
          />
        )}
        {open === "report" && (
          <ReportDialog
            assignmentId={assignment.id}
            onSent={() => {
              setOpen(null);
              setReported(true);
            }}
            onClose={() => setOpen(null)}
          />
        )}
      </Suspense>
      {pause.paused && (
        <PauseDialog until={hand.how === "submit" ? pause.keptUntil : null} onGoOn={pause.end} />
      )}
    </div>
  );
}
