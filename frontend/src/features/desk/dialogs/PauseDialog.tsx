import { Button } from "@mantine/core";
import { Dialog } from "@/shared/ui/Dialog";
import { useFlowTexts } from "../texts/flow";

/** Covers the desk during a pause. `until`: the time until which the lease is renewed; null if there is no lease. */
export function PauseDialog({ until, onGoOn }: { until: string | null; onGoOn: () => void }) {
  const t = useFlowTexts();
  return (
    <Dialog
      title={t.paused}
      onClose={onGoOn}
      closeKey="p"
      actions={
        <Button onClick={onGoOn} data-autofocus>
          {t.goOn}
        </Button>
      }
    >
      <p>{until === null ? t.pausedRevising : t.pausedText(until)}</p>
    </Dialog>
  );
}
