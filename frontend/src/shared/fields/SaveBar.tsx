import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { useTexts } from "../texts";
import styles from "./saveBar.module.css";

/** At the bottom while something is unsaved; `saved` is announced when it was saved. */
export function SaveBar({
  unsaved,
  saved,
  busy,
  blocked = false,
  label,
  onSave,
  onDiscard,
  children,
}: {
  unsaved: number;
  saved: boolean;
  busy: boolean;
  /** Saving is disabled, because it would be refused. */
  blocked?: boolean;
  label?: string;
  onSave: () => void;
  onDiscard: () => void;
  children?: ReactNode;
}) {
  const t = useTexts().unsaved;
  const words = unsaved > 0 ? t.changes(unsaved) : saved ? t.saved : "";
  return (
    <div className={styles.bar} data-shown={unsaved > 0} data-empty={words === ""}>
      <div className={styles.words}>
        <span role="status">{words}</span>
        {unsaved > 0 && children}
      </div>
      {unsaved > 0 && (
        <div className={styles.buttons}>
          <Button variant="default" onClick={onDiscard} disabled={busy}>
            {t.discard}
          </Button>
          <Button onClick={onSave} loading={busy} disabled={blocked}>
            {label ?? t.save}
          </Button>
        </div>
      )}
    </div>
  );
}
