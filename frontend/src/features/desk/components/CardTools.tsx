import { type Dispatch, memo } from "react";
import { Icon } from "@/shared/Icon";
import type { DeskAction } from "../deskState";
import { keyHint } from "../shortcuts";
import { useViewTexts } from "../texts/view";
import styles from "./card.module.css";

// Each part is drawn anew for what it shows alone: a move renumbers every card, and ten cards of ten slots and four tools
// are 140 buttons, of which it changes twenty.

type Of = { id: string; letter: string; dispatch: Dispatch<DeskAction> };

/** A button for every slot; the one the response stands in is pressed. */
export function CardSlots({
  slot,
  count,
  canLeaveOut,
  ...of
}: Of & { slot: number; count: number; canLeaveOut: boolean }) {
  const texts = useViewTexts();
  return (
    <fieldset className={styles.slots}>
      <legend className="visually-hidden">{texts.slotsOf(of.letter)}</legend>
      {Array.from({ length: count }, (_, index) => index + 1).map((other) => (
        <SlotButton key={other} {...of} slot={other} pressed={other === slot} />
      ))}
      {canLeaveOut && <LeaveOutButton {...of} pressed={slot === 0} />}
    </fieldset>
  );
}

const SlotButton = memo(function SlotButton({
  id,
  letter,
  slot,
  pressed,
  dispatch,
}: Of & { slot: number; pressed: boolean }) {
  const texts = useViewTexts();
  return (
    <button
      type="button"
      aria-pressed={pressed}
      aria-label={texts.intoSlot(letter, slot)}
      onClick={() => dispatch({ type: "place", id, slot })}
    >
      {slot}
    </button>
  );
});

const LeaveOutButton = memo(function LeaveOutButton({
  id,
  letter,
  pressed,
  dispatch,
}: Of & { pressed: boolean }) {
  const texts = useViewTexts();
  return (
    <button
      type="button"
      aria-pressed={pressed}
      aria-label={texts.leaveOut(letter)}
      title={texts.leaveOutHint + keyHint("unrank")}
      onClick={() => dispatch({ type: "unrank", id })}
    >
      –
    </button>
  );
});

/** What else is done with the response: keep it in view, tie it, move it up or down. */
export const CardTools = memo(function CardTools({
  id,
  letter,
  tied,
  held,
  onHold,
  tiesAllowed,
  dispatch,
}: Of & {
  tied: boolean;
  held: boolean;
  /** null where there is no choice of what stands beside the current one. */
  onHold: ((id: string) => void) | null;
  tiesAllowed: boolean;
}) {
  const texts = useViewTexts();
  return (
    <>
      {onHold && (
        <button
          type="button"
          className={styles.tool}
          aria-pressed={held}
          aria-label={held ? texts.letGo(letter) : texts.keep(letter)}
          title={(held ? texts.letGoHint : texts.keepHint) + keyHint("hold")}
          onClick={() => onHold(id)}
        >
          <Icon name="hold" />
        </button>
      )}
      {tiesAllowed && (
        <button
          type="button"
          className={styles.tool}
          aria-pressed={tied}
          aria-label={tied ? texts.untie(letter) : texts.tieAbove(letter)}
          title={(tied ? texts.untieHint : texts.tieHint) + keyHint("tie")}
          onClick={() => dispatch({ type: "tie", id })}
        >
          <Icon name="tie" />
        </button>
      )}
      <button
        type="button"
        className={styles.tool}
        aria-label={texts.up(letter)}
        title={texts.upHint + keyHint("moveUp")}
        onClick={() => dispatch({ type: "move", id, by: -1 })}
      >
        <Icon name="up" />
      </button>
      <button
        type="button"
        className={styles.tool}
        aria-label={texts.down(letter)}
        title={texts.downHint + keyHint("moveDown")}
        onClick={() => dispatch({ type: "move", id, by: 1 })}
      >
        <Icon name="down" />
      </button>
    </>
  );
});
