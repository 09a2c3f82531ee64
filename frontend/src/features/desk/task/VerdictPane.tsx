import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { DeskOrder, DeskQuestions, GapsNotice, PaneHead } from "@/ranking/desk/DeskParts";
import styles from "@/ranking/desk/desk.module.css";
import type { DeskModel } from "@/ranking/desk/useDesk";
import type { Gaps } from "@/ranking/desk/useGaps";
import { KeyCap } from "@/ranking/keys/KeyCap";
import { keyHint } from "@/ranking/keys/shortcuts";
import { sideWords } from "@/ranking/order/sides";
import { useOrderTexts } from "@/ranking/texts/order";
import { Icon } from "@/shared/ui/Icon";
import { useDeskTexts } from "../texts/desk";

function UndoButton({ desk: { state, dispatch } }: { desk: DeskModel }) {
  const t = useDeskTexts();
  return (
    <Button
      size="compact-xs"
      variant="subtle"
      color="gray"
      leftSection={<Icon name="undo" size={14} />}
      disabled={state.ranking.past.length === 0}
      rightSection={<KeyCap of="undo" />}
      title={t.undo + keyHint("undo")}
      onClick={() => dispatch({ type: "undo" })}
    >
      {t.undo}
    </Button>
  );
}

/** The answer for a pair, in words. */
function PairVerdict({ desk: { state, sides, position } }: { desk: DeskModel }) {
  const t = useDeskTexts();
  const order = useOrderTexts();
  const side = sides[position];
  const without = state.fields.not_rankable ? t.notComparable : t.notChosen;
  return (
    <p className={styles.said} data-open={position < 0}>
      {side ? sideWords(side, order) : without}
    </p>
  );
}

/** The order in one line, for screens too narrow to show the standings beside the responses. */
function OrderLine({ desk: { state, letters } }: { desk: DeskModel }) {
  const { tiers, focus } = state.ranking;
  return (
    <div className={styles.orderLine} aria-hidden="true">
      {tiers.map((tier) => (
        <span key={tier[0]} data-current={tier.includes(focus)}>
          {tier.map((id) => letters.get(id)).join(" = ")}
        </span>
      ))}
    </div>
  );
}

type Props = {
  desk: DeskModel;
  gaps: Gaps;
  /** Whether the task is no longer assigned to the user, so that nothing can be submitted. */
  over: boolean;
  onSubmit: () => void;
  /** Null if the task can't be skipped because it was already answered. */
  onSkip: (() => void) | null;
  onRewrite: () => void;
  notices: ReactNode;
  /** The content below the submit button. */
  children: ReactNode;
};

/** The answer so far, the questions about the whole task, and the submit button. */
export function VerdictPane({ desk, gaps, over, onSubmit, onSkip, onRewrite, notices, children }: Props) {
  const t = useDeskTexts();
  const { pair } = desk;
  const title = pair ? t.yourAnswer : t.yourRanking;
  const submit = pair ? t.submitAnswer : t.submitRanking;
  return (
    <aside className={styles.verdict} aria-label={title}>
      <PaneHead title={title}>{!pair && <UndoButton desk={desk} />}</PaneHead>
      {pair ? <PairVerdict desk={desk} /> : <DeskOrder desk={desk} />}
      <DeskQuestions desk={desk} onRewrite={onRewrite} />
      <GapsNotice gaps={gaps} leaveOut={t.answerOrLeaveOut} />
      {notices}
      <div className={styles.submitRow}>
        {!pair && <OrderLine desk={desk} />}
        <Button
          className={styles.submit ?? ""}
          disabled={over}
          onClick={onSubmit}
          rightSection={<KeyCap of="submit" />}
          title={submit + keyHint("submit")}
        >
          {submit}
        </Button>
        {onSkip && (
          <Button
            variant="default"
            rightSection={<KeyCap of="skip" />}
            title={t.skip + keyHint("skip")}
            onClick={onSkip}
          >
            {t.skip}
          </Button>
        )}
      </div>
      {children}
    </aside>
  );
}
