import type { Answer, AnswerForm, Assignment } from "@/api/types";
import { isTouched, type Ranking, restoreRanking, startRanking } from "./ranking/ranking";

/** What the form asks beside the order. Parts the project does not ask stay at their empty value. */
export type AnswerFields = {
  strength: number | null;
  ratings: Record<string, Record<string, number>>;
  flags: Record<string, string[]>;
  choices: Record<string, string>;
  confidence: number | null;
  not_rankable: boolean;
  all_bad: boolean;
  comment: string;
  rewrite: string | null;
};

/** The answer so far, in the submitted shape without its token: what autosave keeps here and on the server. */
export type Draft = Omit<Answer, "token">;

export const EMPTY_FIELDS: AnswerFields = {
  strength: null,
  ratings: {},
  flags: {},
  choices: {},
  confidence: null,
  not_rankable: false,
  all_bad: false,
  comment: "",
  rewrite: null,
};

export function toDraft(ranking: Ranking, fields: AnswerFields, durationMs: number): Draft {
  return {
    tiers: ranking.tiers.map((tier) => [...tier]),
    ...fields,
    touched: isTouched(ranking),
    duration_ms: Math.round(durationMs),
  };
}

/** The draft as it is submitted: without the parts that one of its own statements rules out. */
export function toAnswer(draft: Draft, token: string): Answer {
  const tiers = draft.not_rankable ? [] : draft.tiers;
  return {
    ...draft,
    token,
    tiers,
    // All in one tie: nothing is better than anything else, by any amount.
    strength: tiers.length < 2 ? null : draft.strength,
    rewrite: draft.rewrite?.trim() ? draft.rewrite : null,
  };
}

type Restored = { ranking: Ranking; fields: AnswerFields; durationMs: number };

/** A desk as the draft left it; parts of a draft that do not fit what is shown are dropped, never guessed. */
export function restore(assignment: Assignment, draft: unknown): Restored {
  const shown = assignment.responses.map((response) => response.id);
  const { form } = assignment;
  const saved = (typeof draft === "object" && draft !== null ? draft : {}) as Partial<Draft>;
  const ranking =
    restoreRanking(shown, saved.tiers, saved.touched === true, form.ties) ?? startRanking(shown, form.ties);
  const known = <T>(byResponse: Record<string, T> | undefined): Record<string, T> =>
    Object.fromEntries(Object.entries(byResponse ?? {}).filter(([id]) => shown.includes(id)));
  return {
    ranking,
    fields: {
      strength: form.strength && typeof saved.strength === "number" ? saved.strength : null,
      ratings: known(saved.ratings as AnswerFields["ratings"] | undefined),
      flags: known(saved.flags as AnswerFields["flags"] | undefined),
      choices: {},
      confidence: null,
      all_bad: false,
      not_rankable: form.not_rankable && saved.not_rankable === true,
      comment: typeof saved.comment === "string" ? saved.comment : "",
      rewrite: form.rewrite && typeof saved.rewrite === "string" ? saved.rewrite : null,
    },
    durationMs: typeof saved.duration_ms === "number" ? saved.duration_ms : 0,
  };
}

/** Questions the form asks that have no answer yet, in words. They may stay open; the desk asks once before it submits. */
export function missing(
  form: AnswerForm,
  fields: AnswerFields,
  tiers: number,
  letters: ReadonlyMap<string, string>,
): string[] {
  if (fields.not_rankable) return [];
  const gaps: string[] = [];
  if (form.strength && fields.strength === null && tiers > 1)
    gaps.push("how much better the best response is");
  for (const rating of form.ratings) {
    const unrated = [...letters].filter(([id]) => fields.ratings[id]?.[rating.name] === undefined);
    if (unrated.length) gaps.push(`${rating.label} of ${unrated.map(([, letter]) => letter).join(", ")}`);
  }
  return gaps;
}
