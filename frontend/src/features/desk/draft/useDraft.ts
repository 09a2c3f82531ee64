import { startTransition, useCallback, useEffect, useRef, useState } from "react";
import type { Assignment } from "@/api/types";
import type { Draft } from "@/ranking/answer/answer";
import { saveDraft } from "../api/assignments";
import type { Hand } from "../flow/flow";
import { DraftSaver, type SaveStatus } from "./draftSaver";
import { forget, keep, readKept } from "./kept";

/**
 * The newer copy of a draft, from the browser or from the server. The browser's copy is newer if the last
 * changes did not reach the server.
 */
function newestDraft(assignment: Assignment): unknown {
  const kept = readKept(assignment.id);
  return kept && kept.version >= assignment.draft_version ? kept.draft : assignment.draft;
}

/** The draft with which the desk opens. */
export function draftOf({ assignment, how, answer }: Hand): unknown {
  const changed = how === "revise" ? readKept(keptAs(assignment.id, how))?.draft : undefined;
  return changed ?? answer ?? newestDraft(assignment);
}

/**
 * The storage key of a draft. A revision of a submitted answer has a separate key, because a revision is not
 * a draft of the task.
 */
export const keptAs = (id: string, how: Hand["how"]) => (how === "revise" ? `revise.${id}` : id);

/**
 * Saves `draft` in the browser immediately after each change. For a leased task, also saves the draft on the
 * server once the user stops making changes.
 */
export function useDraft({ assignment, how }: Hand, draft: Draft) {
  const { id, token, draft_version: version } = assignment;
  const [status, setStatus] = useState<SaveStatus>({ state: "saved" });
  const saver = useRef<DraftSaver<Draft> | null>(null);
  // A change in elapsed time alone does not trigger a save.
  const content = JSON.stringify({ ...draft, duration_ms: 0 });
  const lastContent = useRef(content);
  const latest = useRef(draft);
  latest.current = draft;

  useEffect(() => {
    const current = new DraftSaver<Draft>({
      version,
      send: async (onTopOf, changed) =>
        how === "revise" ? onTopOf : await saveDraft(id, token, onTopOf, changed),
      keep: (keptVersion, changed) =>
        keep(keptAs(id, how), { draft: changed, version: keptVersion, savedAt: Date.now() }),
      // Without a transition, the whole desk would render twice for each key press.
      onStatus: (next) => startTransition(() => setStatus(next)),
    });
    saver.current = current;
    const leave = () => void current.flush();
    window.addEventListener("pagehide", leave);
    return () => {
      window.removeEventListener("pagehide", leave);
      void current.flush();
      current.stop();
    };
  }, [id, token, version, how]);

  useEffect(() => {
    if (content === lastContent.current) return;
    lastContent.current = content;
    saver.current?.change(latest.current);
  }, [content]);

  /**
   * Stops saving and deletes the browser's copy. Called when the answer is submitted or the user leaves the
   * task.
   */
  const finish = useCallback(() => {
    saver.current?.stop();
    forget(keptAs(id, how));
  }, [id, how]);

  return { status, finish };
}
