import { Chords } from "@/ranking/keys/KeyCap";
import { type Chord, digitOfSlot, keysOf, type Mode } from "@/ranking/keys/shortcuts";
import { useKeyTexts } from "@/ranking/texts/keys";
import { Icon } from "@/shared/ui/Icon";
import styles from "./keyLine.module.css";

/** The available digit keys as shown in the line of shortcuts: `1 2 3` or `1 … 7`. */
function digits(most: number): Chord[] {
  const last = digitOfSlot(most) ?? "0";
  return most > 3 ? [["1"], ["…"], [last]] : [["1"], ["2"], ["3"]].slice(0, most);
}

/** The shortcuts that are needed to answer a task, shown until the user hides them. */
export function KeyLine({
  mode,
  places,
  ties,
  across,
  onHide,
}: {
  mode: Mode;
  /** The number of slots; for a pair, the number of positions on the scale. */
  places: number;
  ties: boolean;
  /** Whether the responses are shown side by side. */
  across: boolean;
  onHide: () => void;
}) {
  const texts = useKeyTexts();
  const t = texts.needed;
  const go = (across ? (["previousAcross", "nextAcross"] as const) : (["previous", "next"] as const)).flatMap(
    (name) => keysOf(name).slice(0, 1),
  );
  const tie: [Chord[], string][] = ties ? [[keysOf("tie"), t.tie]] : [];
  const lists: Record<Mode, [Chord[], string][]> = {
    order: [[go, t.choose], [digits(places), t.place], ...tie],
    best: [[go, t.choose], [digits(places), t.best], ...tie, [keysOf("unrank"), t.leave]],
    pair: [[[...digits(places), ...keysOf("pickLeft"), ...keysOf("pickRight")], t.scale]],
  };
  return (
    <div className={styles.line} data-testid="key-line">
      <ul aria-label={texts.line}>
        {[...lists[mode], [keysOf("submit"), t.submit] as const, [keysOf("help"), t.help] as const].map(
          ([chords, does]) => (
            <li key={does}>
              <Chords chords={chords} /> {does}
            </li>
          ),
        )}
      </ul>
      <button
        type="button"
        className={styles.hide}
        aria-label={texts.hideLine}
        title={texts.hideLine}
        onClick={onHide}
      >
        <Icon name="close" size={14} />
      </button>
    </div>
  );
}
