import { Button } from "@mantine/core";
import { Dialog } from "@/shared/ui/Dialog";
import { useDeskTexts } from "../texts/desk";
import styles from "./dialogs.module.css";

export function UntouchedDialog({ onSubmit, onClose }: { onSubmit: () => void; onClose: () => void }) {
  const t = useDeskTexts();
  return (
    <Dialog
      title={t.untouchedTitle}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose} data-autofocus>
            {t.keepRanking}
          </Button>
          <Button onClick={onSubmit}>{t.submitThisOrder}</Button>
        </>
      }
    >
      <p>{t.untouched}</p>
      <p className={styles.note}>{t.untouchedWhy}</p>
    </Dialog>
  );
}
