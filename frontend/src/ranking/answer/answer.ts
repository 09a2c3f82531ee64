import type { Answer, AnswerForm, Assignment } from "@/api/types";
import type { Texts } from "@/shared/i18n";
import {
  isTouched,
  prefers,
  type Ranking,
  type Rules,
  restoreRanking,
  startRanking,
} from "../order/rankingReducer";
import { isPairForm, isVerdict } from "../order/sides";
import type { en } from "../texts/answer.en";

/** All parts of an answer except the order. Parts that the form does not include remain empty. */
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

/**
 * The answer so far, in the submission format but without the token. Autosave stores this draft in the
 * browser and on the server.
 */
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

/** Pair forms and top-k forms start without a ranking. */
function rulesOf(form: AnswerForm): Rules {
  return { ties: form.ties, atMost: isPairForm(form) ? 2 : (form.top_k?.at_most ?? null) };
}

export function toDraft(ranking: Ranking, fields: AnswerFields, durationMs: number): Draft {
  const byChoice = ranking.atMost !== null && (ranking.tiers.length > 0 || fields.all_bad);
  return {
    tiers: ranking.tiers.map((tier) => [...tier]),
    ...fields,
    touched: byChoice || isTouched(ranking),
    duration_ms: Math.round(durationMs),
  };
}

/**
 * The draft as submitted, without contradictory parts (for example, there is no order if the responses are not
 * rankable).
 */
export function toAnswer(draft: Draft, token: string, form: AnswerForm, shown: readonly string[]): Answer {
  const all_bad = draft.all_bad && !draft.not_rankable;
  const tiers = tiersToSend({ ...draft, all_bad }, form, shown);
  const ranked = tiers.flat();
  const unranked = shown.filter((id) => !ranked.includes(id));
  return {
    ...draft,
    token,
    tiers,
    all_bad,
    // If all responses are tied, no strength is sent.
    strength: prefers({ tiers, unranked }) ? draft.strength : null,
    rewrite: draft.rewrite?.trim() ? draft.rewrite : null,
  };
}

function tiersToSend(draft: Draft, form: AnswerForm, shown: readonly string[]): string[][] {
  if (draft.not_rankable) return [];
  if (draft.all_bad && form.all_bad?.order === "none") return [];
  if (draft.all_bad && form.all_bad?.order === "tied") return [[...shown]];
  return draft.tiers;
}

type Restored = { ranking: Ranking; fields: AnswerFields; durationMs: number };

/**
 * Restores a desk from a draft. Parts of the draft that do not fit the responses or the form are dropped, not
 * adapted.
 */
export function restore(assignment: Assignment, draft: unknown): Restored {
  const shown = assignment.responses.map((response) => response.id);
  const { form } = assignment;
  const saved = (typeof draft === "object" && draft !== null ? draft : {}) as Partial<Draft>;
  const rules = rulesOf(form);
  const ranking =
    restoreRanking(shown, saved.tiers, saved.touched === true, rules) ?? startRanking(shown, rules);
  const asked = <T>(
    given: unknown,
    keys: readonly string[],
    fits: (value: unknown, key: string) => T | null,
  ) =>
    Object.fromEntries(
      entries(given).flatMap(([key, value]) => {
        const kept = keys.includes(key) ? fits(value, key) : null;
        return kept === null ? [] : [[key, kept] as const];
      }),
    );
  const level = (value: unknown, levels: readonly { value: number }[] | undefined) =>
    levels?.some((one) => one.value === value) ? (value as number) : null;
  const scales = new Map(form.ratings.map((scale) => [scale.name, scale]));
  const questions = new Map(form.questions.map((question) => [question.name, question]));
  return {
    ranking,
    fields: {
      strength: level(saved.strength, form.strength?.levels),
      ratings: asked(saved.ratings, shown, (given) =>
        asked(given, [...scales.keys()], (value, name) => {
          const scale = scales.get(name);
          const fits =
            scale && Number.isInteger(value) && scale.min <= Number(value) && Number(value) <= scale.max;
          return fits ? Number(value) : null;
        }),
      ),
      flags: asked(saved.flags, shown, (given) =>
        Array.isArray(given)
          ? form.flags.map(({ name }) => name).filter((name) => given.includes(name))
          : null,
      ),
      choices: asked(saved.choices, [...questions.keys()], (value, name) =>
        questions.get(name)?.choices.some((choice) => choice.name === value) ? String(value) : null,
      ),
      confidence: level(saved.confidence, form.confidence?.levels),
      not_rankable: form.not_rankable && saved.not_rankable === true,
      all_bad: form.all_bad !== null && saved.all_bad === true,
      comment: form.comment && typeof saved.comment === "string" ? saved.comment : "",
      rewrite: form.rewrite && typeof saved.rewrite === "string" ? saved.rewrite : null,
    },
    durationMs: typeof saved.duration_ms === "number" ? saved.duration_ms : 0,
  };
}

function entries(value: unknown): [string, unknown][] {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
}

/** An unanswered question in plain words. `field` is the server's name for the control that receives the focus. */
type Gap = { readonly field: string; readonly text: string; readonly required: boolean };

/**
 * The form's unanswered questions. Required questions block submission; optional questions are pointed out
 * only once.
 */
export function missing(
  form: AnswerForm,
  fields: AnswerFields,
  ranking: Pick<Ranking, "tiers" | "unranked">,
  letters: ReadonlyMap<string, string>,
  texts: Texts<typeof en.gaps>,
): Gap[] {
  if (fields.not_rankable) return [];
  const gaps: Gap[] = [];
  const gap = (field: string, text: string, required: boolean) => gaps.push({ field, text, required });
  const ordered = !(fields.all_bad && isVerdict(form));
  const pair = isPairForm(form);
  if (ordered && pair && ranking.tiers.length === 0) gap("tiers", texts.better, true);
  if (ordered && !pair && form.top_k) {
    const more = form.top_k.at_least - ranking.tiers.flat().length;
    if (more > 0) gap("tiers", texts.more(more), true);
  }
  if (ordered && form.strength && fields.strength === null && prefers(ranking))
    gap("strength", texts.strength, form.strength.required);
  for (const scale of form.ratings) {
    const unrated = [...letters].filter(([id]) => fields.ratings[id]?.[scale.name] === undefined);
    const [first] = unrated;
    if (first)
      gap(
        `ratings.${first[0]}.${scale.name}`,
        texts.rating(scale.label, unrated.map(([, letter]) => letter).join(", ")),
        scale.required,
      );
  }
  for (const question of form.questions) {
    if (fields.choices[question.name] === undefined)
      gap(`choices.${question.name}`, question.label, question.required);
  }
  if (form.confidence && fields.confidence === null)
    gap("confidence", texts.confidence, form.confidence.required);
  if (form.comment?.required && !fields.comment.trim()) gap("comment", form.comment.label, true);
  if (form.rewrite?.required && !fields.rewrite?.trim()) gap("rewrite", form.rewrite.label, true);
  return gaps;
}
