import { useEffect, useSyncExternalStore } from "react";
import { reviseAnswer, submitAnswer } from "../api/assignments";
import { Outbox, type OutboxState } from "./outbox";
import { BrowserStore, type Unsent } from "./store";

let current: { user: string; outbox: Outbox } | null = null;

/** The user's outbox, shared by the whole app, so that answers are also sent while another page is shown. */
export function outboxOf(user: string): Outbox {
  if (current?.user === user) return current.outbox;
  current?.outbox.stop();
  const outbox = new Outbox({ store: new BrowserStore(user), send, alone: oneTab(user) });
  current = { user, outbox };
  return outbox;
}

export function useOutbox(user: string): { outbox: Outbox; unsent: OutboxState } {
  const outbox = outboxOf(user);
  const unsent = useSyncExternalStore(outbox.subscribe, outbox.getState);
  useEffect(() => {
    const kick = () => outbox.kick();
    // This effect also runs right after a login.
    kick();
    window.addEventListener("online", kick);
    return () => window.removeEventListener("online", kick);
  }, [outbox]);
  return { outbox, unsent };
}

async function send({ how, key, assignmentId, answer }: Unsent): Promise<void> {
  if (how === "submit") return submitAnswer(assignmentId, key, answer);
  return reviseAnswer(assignmentId, answer);
}

/**
 * Web locks exist only on https and localhost. Without web locks, two tabs can send the same answer. Because
 * of the answer's key, the answer still counts only once.
 */
function oneTab(user: string): ((work: () => Promise<void>) => Promise<boolean>) | undefined {
  if (!navigator.locks) return undefined;
  return async (work) =>
    (await navigator.locks.request(`rankloop.outbox.${user}`, { ifAvailable: true }, async (lock) => {
      if (lock === null) return false;
      await work();
      return true;
    })) === true;
}
