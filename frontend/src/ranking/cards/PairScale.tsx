import type { Dispatch } from "react";
import keys from "../keys/keys.module.css";
import { digitOfSlot } from "../keys/shortcuts";
import { type Side, sideWords, signed } from "../order/sides";
import type { DeskAction } from "../state/deskState";
import { useOrderTexts } from "../texts/order";
import styles from "./pair.module.css";

/** The scale for a pair: one row from "A is much better" to "B is much better". */
export function PairScale({
  sides,
  position,
  required,
  dispatch,
}: {
  sides: readonly Side[];
  /** −1: nothing is chosen yet. */
  position: number;
  required: boolean;
  dispatch: Dispatch<DeskAction>;
}) {
  const chosen = sides[position];
  const graded = sides.some(({ strength }) => strength !== null);
  const texts = useOrderTexts();
  const asked = graded ? texts.whichAndHowMuch : texts.which;
  return (
    <fieldset className={styles.scale} data-field="tiers" data-testid="pair-scale">
      <legend className="visually-hidden">{asked}</legend>
      <p className={styles.verdict} data-chosen={chosen !== undefined} aria-hidden="true">
        {chosen ? sideWords(chosen, texts) : asked}
      </p>
      <div className={styles.positions}>
        {graded && (
          <span className={styles.end} aria-hidden="true">
            A
          </span>
        )}
        {sides.map((side, index) => (
          <label
            key={`${side.side} ${side.strength} ${side.allBad}`}
            data-side={side.allBad ? "none" : side.side}
            data-checked={index === position}
            title={`${sideWords(side, texts)} (${index + 1})`}
          >
            <input
              type="radio"
              className="visually-hidden"
              name="pair-scale"
              required={required}
              aria-label={sideWords(side, texts)}
              checked={index === position}
              onChange={() => dispatch({ type: "pick", position: index + 1 })}
            />
            {graded && signed(side) && <b aria-hidden="true">{signed(side)}</b>}
            <span className={styles.word} aria-hidden="true">
              {graded && !side.allBad ? side.label : sideWords(side, texts)}
            </span>
            {digitOfSlot(index + 1) && (
              <span className={keys.onScale} aria-hidden="true">
                <kbd className={keys.cap}>{digitOfSlot(index + 1)}</kbd>
              </span>
            )}
          </label>
        ))}
        {graded && (
          <span className={styles.end} aria-hidden="true">
            B
          </span>
        )}
      </div>
    </fieldset>
  );
}
