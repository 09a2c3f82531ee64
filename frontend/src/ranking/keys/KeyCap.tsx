import { useKeyTexts } from "../texts/keys";
import styles from "./keys.module.css";
import { type Chord, keysOf, type ShortcutName } from "./shortcuts";

/** Keys as printed on a keyboard; the keys of one chord are shown together. */
export function Chords({ chords }: { chords: readonly Chord[] }) {
  const caps: Record<string, string> = useKeyTexts().caps;
  return (
    <span className={styles.chords}>
      {chords.map((chord) => (
        <span key={chord.join("+")} className={styles.chord}>
          {chord.map((key) =>
            key === "…" ? (
              "…"
            ) : (
              <kbd key={key} className={styles.cap}>
                {caps[key] ?? key}
              </kbd>
            ),
          )}
        </span>
      ))}
    </span>
  );
}

/**
 * A button's shortcut, shown on the button. The shortcut is hidden from screen readers, because it would
 * otherwise become part of the button's name.
 */
export function KeyCap({ of }: { of: ShortcutName }) {
  return (
    <span className={styles.on} aria-hidden="true">
      <Chords chords={keysOf(of)} />
    </span>
  );
}
