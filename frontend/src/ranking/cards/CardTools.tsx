import { type ComponentProps, type Dispatch, memo } from "react";
import { Icon } from "@/shared/ui/Icon";
import { keyHint } from "../keys/shortcuts";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import styles from "./card.module.css";

// Each button is a separate memoised component, because a move renumbers every card but changes only about
// twenty buttons. Ten cards have 140 buttons: ten slots and four tools per card.

type Of = { id: string; letter: string; dispatch: Dispatch<DeskAction> };

/** A button for every slot; the button for the response's current slot is shown as pressed. */
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

function Tool({
  icon,
  label,
  hint,
  pressed,
  onUse,
}: {
  icon: ComponentProps<typeof Icon>["name"];
  label: string;
  hint: string;
  pressed?: boolean;
  onUse: () => void;
}) {
  return (
    <button
      type="button"
      className={styles.tool}
      aria-pressed={pressed}
      aria-label={label}
      title={hint}
      onClick={onUse}
    >
      <Icon name={icon} />
    </button>
  );
}

/** The other actions for a response: keep it in view, tie it, and move it up or down. */
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
  /** Keeps the response in view; null if the layout does not allow this. */
  onHold: ((id: string) => void) | null;
  tiesAllowed: boolean;
}) {
  const texts = useViewTexts();
  return (
    <>
      {onHold && (
        <Tool
          icon="hold"
          pressed={held}
          label={held ? texts.letGo(letter) : texts.keep(letter)}
          hint={(held ? texts.letGoHint : texts.keepHint) + keyHint("hold")}
          onUse={() => onHold(id)}
        />
      )}
      {tiesAllowed && (
        <Tool
          icon="tie"
          pressed={tied}
          label={tied ? texts.untie(letter) : texts.tieAbove(letter)}
          hint={(tied ? texts.untieHint : texts.tieHint) + keyHint("tie")}
          onUse={() => dispatch({ type: "tie", id })}
        />
      )}
      <Tool
        icon="up"
        label={texts.up(letter)}
        hint={texts.upHint + keyHint("moveUp")}
        onUse={() => dispatch({ type: "move", id, by: -1 })}
      />
      <Tool
        icon="down"
        label={texts.down(letter)}
        hint={texts.downHint + keyHint("moveDown")}
        onUse={() => dispatch({ type: "move", id, by: 1 })}
      />
    </>
  );
});
