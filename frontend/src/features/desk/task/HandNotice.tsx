import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import type { Lease } from "@/ranking/desk/useLease";
import { timeOfDay } from "@/shared/format";
import { Notice } from "@/shared/ui";
import type { SaveStatus } from "../draft/draftSaver";
import type { Hand } from "../flow/flow";
import { useFlowTexts } from "../texts/flow";

/**
 * A notice for one of these situations: the lease was lost or cannot be renewed, the answer was refused or is
 * being revised, or the draft cannot be saved on the server.
 */
export function HandNotice({
  hand,
  lease,
  status,
  onPutDown,
  onReload,
}: {
  hand: Hand;
  lease: Lease;
  status: SaveStatus;
  onPutDown: () => void;
  onReload: () => void;
}) {
  const t = useFlowTexts();
  const { refusal } = hand;
  const reasons = refusal && (
    <>
      <p>{refusal.detail || refusal.title}</p>
      {refusal.errors.length > 0 && (
        <ul>
          {refusal.errors.map(({ field, reason }) => (
            <li key={`${field} ${reason}`}>{reason}</li>
          ))}
        </ul>
      )}
    </>
  );
  if (hand.lost || lease.lost) {
    return (
      <Notice
        tone="warn"
        title={t.lostTitle}
        actions={
          <Button size="xs" onClick={onPutDown}>
            {t.getTask}
          </Button>
        }
      >
        {refusal ? reasons : lease.lost && <p>{lease.lost.detail || lease.lost.title}</p>}
        <p>{t.lostKept}</p>
      </Notice>
    );
  }
  if (hand.how === "revise") {
    return (
      <Notice
        tone="info"
        title={refusal ? t.takingBackElse : t.takingBackTitle}
        actions={
          <Button size="xs" variant="default" onClick={onPutDown}>
            {t.leaveIt}
          </Button>
        }
      >
        <p>{t.takingBack}</p>
      </Notice>
    );
  }
  return (
    <>
      {refusal && (
        <Notice tone="bad" title={t.refusedTitle}>
          {reasons}
          <p>{t.refusedThen}</p>
        </Notice>
      )}
      {lease.unreachable && <Unreachable until={lease.until} />}
      {status.state === "refused" && (
        // The server's draft is newer than this tab's draft. Saving stops, but the annotator can still rank
        // and submit.
        <Notice
          tone="warn"
          title={t.behindTitle}
          actions={
            <Button size="xs" variant="default" onClick={onReload}>
              {t.loadServers}
            </Button>
          }
        >
          <p>{status.problem.detail || status.problem.title}</p>
          <p>{t.behindKept}</p>
        </Notice>
      )}
    </>
  );
}

function Unreachable({ until }: { until: number }) {
  const t = useFlowTexts();
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setTimeout(() => setNow(Date.now()), Math.max(0, until - Date.now()) + 1);
    return () => clearTimeout(timer);
  }, [until]);
  return (
    <Notice tone="warn" title={t.offlineTitle}>
      <p>{(until > now ? t.heldUntil : t.heldNoMore)(timeOfDay(until))}</p>
    </Notice>
  );
}
