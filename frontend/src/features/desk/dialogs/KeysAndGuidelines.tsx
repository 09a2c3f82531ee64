import type { AnswerForm } from "@/api/types";
import { Check } from "@/ranking/fields/Check";
import { Chords } from "@/ranking/keys/KeyCap";
import { type Mode, type Shortcut, shortcutsFor } from "@/ranking/keys/shortcuts";
import type { View } from "@/ranking/layout/useView";
import { useKeyTexts } from "@/ranking/texts/keys";
import { Markdown } from "@/shared/markdown/Markdown";
import { Dialog } from "@/shared/ui/Dialog";
import { useDeskTexts } from "../texts/desk";
import styles from "./dialogs.module.css";

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
