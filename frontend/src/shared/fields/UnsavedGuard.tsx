import { Button } from "@mantine/core";
import { useBlocker } from "@tanstack/react-router";
import { useTexts } from "../texts";
import { Dialog } from "../ui/Dialog";

/**
 * While `unsaved`, leaving the page requires confirmation: in a dialog of the page, or in one of the browser when the
 * tab is closed.
 */
export function UnsavedGuard({ unsaved }: { unsaved: boolean }) {
  const t = useTexts().unsaved;
  const blocker = useBlocker({
    shouldBlockFn: () => unsaved,
    enableBeforeUnload: () => unsaved,
    withResolver: true,
  });
  if (blocker.status !== "blocked") return null;
  return (
    <Dialog
      title={t.title}
      onClose={blocker.reset}
      actions={
        <>
          <Button variant="default" onClick={blocker.proceed}>
            {t.leave}
          </Button>
          <Button onClick={blocker.reset}>{t.stay}</Button>
        </>
      }
    >
      <p>{t.text}</p>
    </Dialog>
  );
}
