import { useCallback, useEffect, useRef, useState } from "react";
import type { Assignment } from "@/api/types";
import { uuid } from "@/shared/uuid";
import type { Draft } from "./answer";
import { saveDraft } from "./api/assignments";
import { DraftSaver, type SaveStatus } from "./draftSaver";
import { forget, keep, readKept } from "./kept";

/** The newer of the two copies of a draft: the browser's is ahead when the server missed the last changes. */
export function newestDraft(assignment: Assignment): unknown {
  const kept = readKept(assignment.id);
  return kept?.draft && kept.version >= assignment.draft_version ? kept.draft : assignment.draft;
}

/** Saves `draft` whenever it changes, here at once and on the server after a pause. */
export function useDraft(assignment: Assignment, draft: Draft) {
  const { id, token, draft_version: version } = assignment;
  const [status, setStatus] = useState<SaveStatus>({ state: "saved" });
  const [idempotencyKey] = useState(() => readKept(id)?.idempotencyKey ?? uuid());
  const saver = useRef<DraftSaver<Draft> | null>(null);
  // Time alone is no change worth saving.
  const content = JSON.stringify({ ...draft, duration_ms: 0 });
  const lastContent = useRef(content);
  const latest = useRef(draft);
  latest.current = draft;

  useEffect(() => {
    const current = new DraftSaver<Draft>({
      version,
      send: (onTopOf, changed) => saveDraft(id, token, onTopOf, changed),
      keep: (keptVersion, changed) =>
        keep(id, { idempotencyKey, draft: changed, version: keptVersion, savedAt: Date.now() }),
      onStatus: setStatus,
    });
    saver.current = current;
    const leave = () => void current.flush();
    window.addEventListener("pagehide", leave);
    return () => {
      window.removeEventListener("pagehide", leave);
      void current.flush();
      current.stop();
    };
  }, [id, token, version, idempotencyKey]);

  useEffect(() => {
    if (content === lastContent.current) return;
    lastContent.current = content;
    saver.current?.change(latest.current);
  }, [content]);

  const finish = useCallback(() => {
    saver.current?.stop();
    forget(id);
  }, [id]);
  /** The answer and its key, kept before the first attempt to submit it. */
  const keepForSubmit = useCallback(() => {
    keep(id, { idempotencyKey, draft: latest.current, version, savedAt: Date.now() });
  }, [id, idempotencyKey, version]);

  return { status, idempotencyKey, finish, keepForSubmit };
}
