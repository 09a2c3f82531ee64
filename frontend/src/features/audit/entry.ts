import type { AuditEntry } from "@/api/types";
import type { Texts } from "@/shared/i18n";
import type { en } from "./texts/en";

export type Change = { field: string; before: string | null; after: string | null };

/**
 * Maximum length of a value on screen, in characters. Longer values are truncated; the API returns complete
 * values.
 */
const MOST_CHARS = 400;

/**
 * The changed fields, in the entry's order. `before` is null if the field did not exist before the change, and
 * `after` is null if it did not exist after the change.
 */
export function changesIn({ before, after }: Pick<AuditEntry, "before" | "after">): Change[] {
  const fields = new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})]);
  return [...fields].map((field) => ({
    field,
    before: shown(before, field),
    after: shown(after, field),
  }));
}

function shown(values: AuditEntry["before"], field: string): string | null {
  if (values === null || !Object.hasOwn(values, field)) return null;
  const value: unknown = values[field];
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS)}…` : text;
}

/** The actor in readable form: `command:ann:import_responses` becomes “import_responses (command, ann)”. */
export function actorWords(
  { actor, actor_name }: Pick<AuditEntry, "actor" | "actor_name">,
  texts: Texts<typeof en.kinds>,
): string {
  if (actor_name) return actor_name;
  const [kind, first = "", ...rest] = actor.split(":");
  switch (kind) {
    case "user":
      return texts.user(first);
    case "command":
      return texts.command(first, rest.join(":"));
    case "task":
      return texts.task([first, ...rest].join(":"));
    case "run":
      return texts.run(first);
    case "database":
      return texts.database([first, ...rest].join(":"));
    case "anonymous":
      return texts.anonymous;
    default:
      return actor;
  }
}

export type Filter = { actor: string; action: string; table: string; from: string; until: string };

export const NO_FILTER: Filter = { actor: "", action: "", table: "", from: "", until: "" };

/**
 * The filter in the API's format. Days are whole days in the reader's time zone, and the last day is
 * included.
 */
export function toQuery({ actor, action, table, from, until }: Filter) {
  const end = until && new Date(`${until}T00:00:00`);
  if (end) end.setDate(end.getDate() + 1);
  return {
    ...(actor.trim() && { actor: actor.trim() }),
    ...(action && { action: action as AuditEntry["action"] }),
    ...(table && { table }),
    ...(from && { after: new Date(`${from}T00:00:00`).toISOString() }),
    ...(end && { before: end.toISOString() }),
  };
}
