import { Button } from "@mantine/core";
import { excerptOf } from "@/ranking/state/excerpt";
import { Notice } from "@/shared/ui";
import type { OutboxState } from "../outbox/outbox";
import type { Unsent as Entry } from "../outbox/store";
import { useFlowTexts } from "../texts/flow";
import styles from "./flow.module.css";

/**
 * Notices about answers that the server has not accepted. All waiting answers share one notice. Each refused
 * answer has its own notice, with a button to reopen the answer.
 */
export function Unsent({
  unsent,
  deskIsEmpty,
  onSendNow,
  onBack,
  onLetGo,
}: {
  unsent: OutboxState;
  deskIsEmpty: boolean;
  onSendNow: () => void;
  onBack: (entry: Entry) => void;
  onLetGo: (entry: Entry) => void;
}) {
  const t = useFlowTexts();
  const { queued, refused, held, loggedOut, kept } = unsent;
  const waiting = held !== null || !kept;
  if (!waiting && refused.length === 0) return null;
  return (
    <div className={styles.notices}>
      {waiting && (
        <Notice
          tone="warn"
          title={t.waitingTitle(queued.length)}
          actions={
            !loggedOut && (
              <Button size="xs" variant="default" onClick={onSendNow}>
                {t.sendNow}
              </Button>
            )
          }
        >
          <p>{loggedOut ? t.sessionEnded : held && t.waiting(held.title)}</p>
          {deskIsEmpty && held !== null && !loggedOut && <p>{t.nextWaits}</p>}
          {!kept && <p>{t.notKept}</p>}
        </Notice>
      )}
      {refused.map((entry) => (
        <Refused key={entry.key} entry={entry} onBack={onBack} onLetGo={onLetGo} />
      ))}
    </div>
  );
}

function Refused({
  entry,
  onBack,
  onLetGo,
}: {
  entry: Entry;
  onBack: (entry: Entry) => void;
  onLetGo: (entry: Entry) => void;
}) {
  const t = useFlowTexts();
  const { assignment, refusal } = entry;
  const asked = assignment?.task.prompt.messages.at(-1)?.content ?? "…";
  const stands = refusal?.type === "already-answered";
  const says =
    refusal?.type === "lease-lost"
      ? t.tooLate
      : stands
        ? t.answeredElsewhere
        : refusal?.detail || refusal?.title;
  return (
    <Notice
      tone="warn"
      title={t.notTaken(excerptOf(asked))}
      actions={
        <>
          {assignment && (
            <Button size="xs" onClick={() => onBack(entry)}>
              {stands ? t.changeThatOne : t.backToIt}
            </Button>
          )}
          <Button size="xs" variant="default" onClick={() => onLetGo(entry)}>
            {t.letGo}
          </Button>
        </>
      }
    >
      <p>{says}</p>
      {refusal && refusal.errors.length > 0 && (
        <ul>
          {refusal.errors.map(({ field, reason }) => (
            <li key={`${field} ${reason}`}>{reason}</li>
          ))}
        </ul>
      )}
      {!assignment && <p>{t.nothingKept}</p>}
    </Notice>
  );
}
