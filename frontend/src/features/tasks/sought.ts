/** What the lists are narrowed to. It stands in the page's address, so that it can be sent to somebody. */
export type Sought = {
  list?: "rankings";
  says?: string;
  state?: State;
  kind?: TaskKind;
  round?: number;
  model?: string;
  /** In percent: 60 is "under 60 %". */
  under?: number;
  has?: Has;
  annotator?: string;
  /** Whole days, UTC. */
  from?: string;
  until?: string;
};

export const STATES = ["open", "done", "dropped"] as const;
export const KINDS = ["ranking", "gold", "attention", "qualification"] as const;
export const HAS = ["comment", "flags", "rewrite"] as const;
type State = (typeof STATES)[number];
type TaskKind = (typeof KINDS)[number];
type Has = (typeof HAS)[number];

const DAY = /^\d{4}-\d{2}-\d{2}$/;

/** From an address, which anybody may have written: what is not understood is left out. */
export function soughtFrom(search: Record<string, unknown>): Sought {
  const text = (value: unknown): string | undefined => {
    if (typeof value === "number") return String(value);
    return typeof value === "string" && value.trim() !== "" ? value.slice(0, 200) : undefined;
  };
  const oneOf = <T extends string>(among: readonly T[], value: unknown): T | undefined =>
    among.find((known) => known === value);
  const day = (value: unknown) => (typeof value === "string" && DAY.test(value) ? value : undefined);
  const whole = (value: unknown, most: number) => {
    const number = typeof value === "string" && value !== "" ? Number(value) : value;
    return typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= most
      ? number
      : undefined;
  };
  return without({
    list: oneOf(["rankings"] as const, search.list),
    says: text(search.says),
    state: oneOf(STATES, search.state),
    kind: oneOf(KINDS, search.kind),
    round: whole(search.round, 2 ** 31 - 1),
    model: text(search.model),
    under: whole(search.under, 100),
    has: oneOf(HAS, search.has),
    annotator: text(search.annotator),
    from: day(search.from),
    until: day(search.until),
  });
}

/** The same without what is undefined: an address says only what is sought. */
function without(sought: { [Key in keyof Sought]: Sought[Key] | undefined }): Sought {
  return Object.fromEntries(Object.entries(sought).filter(([, value]) => value !== undefined)) as Sought;
}

/** How many conditions narrow the list; which of the two lists it is narrows nothing. */
export function conditions({ list: _, ...rest }: Sought): number {
  return Object.keys(rest).length;
}

/** The other list with the conditions that both know. */
export function asList(sought: Sought, list: "tasks" | "rankings"): Sought {
  const { list: _, state, ...both } = sought;
  return list === "rankings" ? { ...both, list } : { ...both, ...(state && { state }) };
}

function dayAfter(day: string): string {
  const next = new Date(`${day}T00:00:00Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  return next.toISOString();
}

/** What both lists are asked for by the same name. */
function common({ says, round, model, under, has, annotator, from, until }: Sought) {
  return {
    ...(says && { says }),
    ...(round !== undefined && { round }),
    ...(model && { model }),
    // 100 means "whatever the agreement, but some": all tasks that two people or more ranked.
    ...(under !== undefined && { agreement_below: under === 100 ? 1.01 : under / 100 }),
    ...(has && { has }),
    ...(annotator && { annotator }),
    ...(from && { after: `${from}T00:00:00Z` }),
    ...(until && { before: dayAfter(until) }),
  };
}

export function tasksAsked(sought: Sought) {
  const { kind, state } = sought;
  return { ...common(sought), ...(kind && { kind }), ...(state && { state }) };
}

export function rankingsAsked(sought: Sought) {
  return { ...common(sought), ...(sought.kind && { task_kind: sought.kind }) };
}
