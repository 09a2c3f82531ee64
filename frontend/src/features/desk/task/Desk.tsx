import { type ReactNode, useEffect, useMemo, useRef, useState } from "react";
import type { Answer, Project } from "@/api/types";
import { restore } from "@/ranking/answer/answer";
import { answerOn, draftOn } from "@/ranking/desk/answerOf";
import { Announcer, deskClass } from "@/ranking/desk/DeskParts";
import { DeskResponses } from "@/ranking/desk/DeskResponses";
import { useActiveTime } from "@/ranking/desk/useActiveTime";
import { useDesk } from "@/ranking/desk/useDesk";
import { useGaps } from "@/ranking/desk/useGaps";
import { useLease } from "@/ranking/desk/useLease";
import { useRemembered } from "@/ranking/layout/remembered";
import { isTouched, slotsOf } from "@/ranking/order/rankingReducer";
import { isVerdict } from "@/ranking/order/sides";
import { renewLease } from "../api/assignments";
import { fetchSeldom } from "../components/later";
import { DeskDialogs, type DialogName } from "../dialogs/DeskDialogs";
import { PauseDialog } from "../dialogs/PauseDialog";
import { draftOf, useDraft } from "../draft/useDraft";
import type { Hand } from "../flow/flow";
import { useDeskTexts } from "../texts/desk";
import { DeskFoot } from "./DeskFoot";
import { focusField } from "./focusField";
import { HandNotice } from "./HandNotice";
import { KeyLine } from "./KeyLine";
import { PromptPane } from "./PromptPane";
import { SaveLine } from "./SaveLine";
import { useDeskKeys } from "./useDeskKeys";
import { usePause } from "./usePause";
import { VerdictPane } from "./VerdictPane";

type Props = {
  project: Project;
  hand: Hand;
  /** The outcome of the previous answer; shown below the submit button. */
  lastDone: string;
  onGive: (answer: Answer) => void;
  onSkipped: () => void;
  onTakeBack: () => void;
  /**
   * Replaces this task with another task. Called when the lease is lost or when the user chooses to keep an
   * earlier answer.
   */
  onPutDown: () => void;
  /** Replaces this copy of the task with the server's copy. */
  onReload: () => void;
  /** The annotator's own statistics, shown at the bottom. */
  pace?: ReactNode;
};

/**
 * One task on the annotator's desk. Callers must key this component by assignment, so that a new desk is
 * mounted for each task.
 */
export function Desk({ project, hand, lastDone, onGive, onSkipped, onPutDown, ...props }: Props) {
  const t = useDeskTexts();
  const { assignment } = hand;
  const { form } = assignment;
  const [draftAtStart] = useState(() => draftOf(hand));
  const desk = useDesk(assignment, draftAtStart, useRemembered());
  const { state, dispatch, pair, view } = desk;
  const { ranking, fields } = state;
  const gaps = useGaps(desk);
  const [open, setOpen] = useState<DialogName | null>(null);
  const [reported, setReported] = useState(false);
  const [raw, setRaw] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const cards = useRef<HTMLElement>(null);
  useEffect(fetchSeldom, []);

  const pause = usePause();
  const activeMs = useActiveTime(
    useMemo(() => restore(assignment, draftAtStart).durationMs, [assignment, draftAtStart]),
    pause.paused,
  );
  const { status, finish } = useDraft(hand, draftOn(desk, activeMs()));
  const lease = useLease(assignment, renewLease, pause.until);
  const over = hand.lost || lease.lost !== null;
  const canSkip = hand.how === "submit";

  function trySubmit(orderConfirmed = false) {
    if (over) return;
    const ordered = !fields.not_rankable && !(fields.all_bad && isVerdict(form));
    // An untouched order needs confirmation only if the initial order is a valid answer. If nothing is ranked
    // initially, the missing order is reported as an unanswered question instead.
    const asShown = ranking.atMost === null && !isTouched(ranking);
    if (!orderConfirmed && ordered && asShown) return setOpen("untouched");
    setOpen(null);
    if (gaps.pass()) {
      finish();
      onGive(answerOn(desk, activeMs()));
      return;
    }
    dispatch({ type: "say", text: t.notSubmitted(gaps.gaps.map(({ text }) => text).join("; ")) });
    const first = gaps.gaps.find(({ required }) => required) ?? gaps.gaps[0];
    if (first) focusField(root.current, first.field, (id) => dispatch({ type: "focus", id }));
  }

  const toggle = (which: DialogName) => setOpen((current) => (current === which ? null : which));
  useDeskKeys({
    active: open === null && !pause.paused,
    mode: desk.mode,
    cards,
    ranking,
    commands: {
      focus: ranking.focus,
      dispatch,
      submit: () => trySubmit(),
      skip: () => canSkip && setOpen("skip"),
      takeBack: props.onTakeBack,
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
    <div className={deskClass(desk)} data-paused={pause.paused} ref={root}>
      <PromptPane
        task={assignment.task}
        raw={raw}
        onRaw={() => setRaw(!raw)}
        onGuidelines={() => setOpen("guidelines")}
      />
      <DeskResponses
        desk={desk}
        raw={raw}
        keys={
          view.keyLine && (
            <KeyLine
              mode={desk.mode}
              places={pair ? desk.sides.length : slotsOf(ranking)}
              ties={form.ties}
              across={view.axis === "across"}
              onHide={view.toggleKeyLine}
            />
          )
        }
        ref={cards}
      />
      <VerdictPane
        desk={desk}
        gaps={gaps}
        over={over}
        onSubmit={() => trySubmit()}
        onSkip={canSkip ? () => setOpen("skip") : null}
        onRewrite={() => setOpen("rewrite")}
        notices={
          <HandNotice
            hand={hand}
            lease={lease}
            status={status}
            onPutDown={onPutDown}
            onReload={() => {
              finish();
              props.onReload();
            }}
          />
        }
      >
        <DeskFoot
          onTakeBack={props.onTakeBack}
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
        {props.pace}
      </VerdictPane>
      <Announcer desk={desk} />
      <DeskDialogs
        open={open}
        desk={desk}
        project={project}
        onSubmit={() => trySubmit(true)}
        onSkipped={() => {
          finish();
          onSkipped();
        }}
        onReported={() => {
          setOpen(null);
          setReported(true);
        }}
        onClose={() => setOpen(null)}
      />
      {pause.paused && <PauseDialog until={canSkip ? pause.keptUntil : null} onGoOn={pause.end} />}
    </div>
  );
}
