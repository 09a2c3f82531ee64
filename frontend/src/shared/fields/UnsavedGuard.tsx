import { Button } from "@mantine/core";
import { useBlocker } from "@tanstack/react-router";
import { useTexts } from "../texts";
import { Dialog } from "../ui/Dialog";

/**
 * Asks for confirmation when the user leaves the page while `unsaved` is true. The page shows its own dialog, or the
 * browser shows one when the tab is closed.
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
