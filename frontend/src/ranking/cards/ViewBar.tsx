import type { ReactNode } from "react";
import { Icon, type IconName } from "@/shared/ui/Icon";
import marked from "../diff/marked.module.css";
import type { Compared } from "../diff/useComparison";
import { keyHint, type ShortcutName } from "../keys/shortcuts";
import type { Layout } from "../layout/layouts";
import type { View } from "../layout/useView";
import { useViewTexts } from "../texts/view";
import styles from "./layouts.module.css";

const ICONS: Readonly<Record<Layout, IconName>> = { column: "column", row: "row", focus: "two" };

type Props = {
  view: View;
  /** The current response, and the letters of all responses. */
  focus: string;
  letters: ReadonlyMap<string, string>;
  compared: Compared | null;
};

function Toggle({
  on,
  icon,
  shortcut,
  onClick,
  children,
}: {
  on: boolean;
  icon: IconName;
  shortcut: ShortcutName;
  onClick: () => void;
  children: string;
}) {
  return (
    <button
      type="button"
      className={styles.tool}
      aria-pressed={on}
      title={children + keyHint(shortcut)}
      onClick={onClick}
    >
      <Icon name={icon} />
      {children}
    </button>
  );
}

function Legend({
  compared: { ids, words: only },
  letters,
}: {
  compared: Compared;
  letters: Props["letters"];
}) {
  const texts = useViewTexts();
  const [first = "?", second = "?"] = ids.map((id) => letters.get(id) ?? "?");
  let said: ReactNode;
  if (!only) {
    said = texts.tooMuch(first, second);
  } else if (only[0] + only[1] === 0) {
    said = texts.same(first, second);
  } else {
    said = (
      <>
        <span>
          <del>{texts.onlyIn(first)}</del> {texts.words(only[0])}
        </span>
        <span>
          <ins>{texts.onlyIn(second)}</ins> {texts.words(only[1])}
        </span>
      </>
    );
  }
  return (
    <div className={marked.legend} data-testid="comparison">
      {said}
    </div>
  );
}

/** Controls for the layout of the responses and for highlighting differences. */
export function ViewBar({ view, focus, letters, compared }: Props) {
  const texts = useViewTexts();
  const others = [...letters.keys()].filter((id) => id !== focus);
  const beside = compared?.ids.find((id) => id !== focus);
  return (
    <div className={styles.bar}>
      {view.offered.length > 1 && (
        <fieldset className={styles.choice}>
          <legend className="visually-hidden">{texts.layout}</legend>
          {view.offered.map((layout) => (
            <button
              key={layout}
              type="button"
              aria-pressed={view.layout === layout && !(view.comparing && layout !== view.arrangement)}
              title={texts[layout] + keyHint("layout")}
              onClick={() => view.choose(layout)}
            >
              <Icon name={ICONS[layout]} />
              {texts[layout]}
            </button>
          ))}
        </fieldset>
      )}
      {view.arrangement !== "column" && (
        <Toggle on={view.together} icon="together" shortcut="together" onClick={view.toggleTogether}>
          {texts.scrollTogether}
        </Toggle>
      )}
      <Toggle on={view.comparing} icon="compare" shortcut="compare" onClick={view.toggleCompare}>
        {texts.differences}
      </Toggle>
      {compared && others.length > 1 && (
        <label className={styles.with}>
          {texts.comparedWith(letters.get(focus) ?? "?")}
          <select value={beside} onChange={(event) => view.holdOnly(event.currentTarget.value)}>
            {others.map((id) => (
              <option key={id} value={id}>
                {letters.get(id)}
              </option>
            ))}
          </select>
        </label>
      )}
      {compared && <Legend compared={compared} letters={letters} />}
    </div>
  );
}
