import type { AnswerForm } from "@/api/types";
import { Dialog } from "@/shared/Dialog";
import { Markdown } from "@/shared/markdown/Markdown";
import type { View } from "../layout/useView";
import { type Mode, type Shortcut, shortcutsFor } from "../shortcuts";
import { useDeskTexts } from "../texts/desk";
import { useKeyTexts } from "../texts/keys";
import { Check } from "./Check";
import styles from "./dialogs.module.css";
import { Chords } from "./KeyCap";

const GROUPS: readonly Shortcut["group"][] = ["order", "focus", "answer", "view"];

export function ShortcutsDialog({
  mode,
  form,
  view,
  onClose,
}: {
  mode: Mode;
  form: AnswerForm;
  view: Pick<View, "keyLine" | "toggleKeyLine">;
  onClose: () => void;
}) {
  const t = useKeyTexts();
  return (
    <Dialog title={t.title} onClose={onClose} closeKey="?" wide>
      <div className={styles.groups}>
        {GROUPS.map((group) => (
          <section key={group} aria-label={t.groups[group]}>
            <h3>{t.groups[group]}</h3>
            <dl className={styles.keys}>
              {shortcutsFor(mode)
                .filter(({ group: its, asked }) => its === group && (!asked || asked(form)))
                .map((shortcut) => (
                  <div key={shortcut.name}>
                    <dt>{t.does[shortcut.name]}</dt>
                    <dd>
                      <Chords chords={shortcut.keys} />
                    </dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <p className={styles.note}>
        {mode !== "pair" && `${t.onOutlined} `}
        {t.inQuestions}
      </p>
      <Check label={t.showLine} checked={view.keyLine} onChange={view.toggleKeyLine} />
    </Dialog>
  );
}

export function GuidelinesDialog({ guidelines, onClose }: { guidelines: string; onClose: () => void }) {
  const t = useDeskTexts();
  return (
    <Dialog title={t.guidelines} onClose={onClose} closeKey="g" wide>
      {guidelines.trim() ? <Markdown text={guidelines} /> : <p>{t.noGuidelines}</p>}
    </Dialog>
  );
}
