import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { useTexts } from "../texts";
import styles from "./saveBar.module.css";

/** A bar at the bottom of the page, shown while there are unsaved changes. `saved` is announced after saving. */
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
  /** Whether saving is disabled because the server would refuse the changes. */
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
