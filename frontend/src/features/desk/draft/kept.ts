import type { Draft } from "@/ranking/answer/answer";

/**
 * The browser's copy of an unfinished answer. The copy survives a lost connection, an expired session and a
 * closed tab. A submitted answer moves to the outbox (outbox/store.ts).
 */
export type Kept = { draft: Draft; version: number; savedAt: number };

const PREFIX = "rankloop.answer.";
const MAX_AGE_MS = 14 * 24 * 3_600_000;

/**
 * Returns the result of `use`, or null if `use` throws an error, for example because storage is full or
 * disabled. Losing the copy must not break the page.
 */
function quietly<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

export function readKept(assignmentId: string): Kept | null {
  return quietly(() => {
    const text = localStorage.getItem(PREFIX + assignmentId);
    const kept: unknown = text ? JSON.parse(text) : null;
    if (typeof kept !== "object" || kept === null) return null;
    const { draft, version } = kept as Partial<Kept>;
    return typeof draft === "object" && draft && typeof version === "number" ? (kept as Kept) : null;
  });
}

export function keep(assignmentId: string, kept: Kept): boolean {
  return (
    quietly(() => {
      localStorage.setItem(PREFIX + assignmentId, JSON.stringify(kept));
      return true;
    }) === true
  );
}

export function forget(assignmentId: string): void {
  quietly(() => localStorage.removeItem(PREFIX + assignmentId));
}

/** Deletes every copy that is unreadable or was saved more than `MAX_AGE_MS` ago. */
export function forgetOld(now: number = Date.now()): void {
  quietly(() => {
    for (const key of Object.keys(localStorage)) {
      if (!key.startsWith(PREFIX)) continue;
      const kept = readKept(key.slice(PREFIX.length));
      if (!kept || now - kept.savedAt > MAX_AGE_MS) localStorage.removeItem(key);
    }
  });
}
