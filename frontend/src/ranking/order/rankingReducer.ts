/**
 * The current ranking: ordered tiers of response IDs, best first. A tier of two or more responses is a tie.
 * Unranked responses are below the ranked ones, unordered. Keys, buttons and dragging change the ranking only
 * through the pure function `reduce`. Keyboard and mouse therefore produce the same orders. Three invariants
 * hold after every action: each response is in exactly one tier or is unranked, no tier is empty, and the
 * number of ranked responses does not exceed the form's limit.
 */

export type Tiers = readonly (readonly string[])[];

/** An order and the unranked responses. */
type Order = { readonly tiers: Tiers; readonly unranked: readonly string[] };

/** A form's constraints on the order. */
export type Rules = {
  readonly ties: boolean;
  /**
   * Maximum number of ranked responses in a form that initially ranks no response. Null in a form that
   * initially ranks all responses.
   */
  readonly atMost: number | null;
};

export type Ranking = {
  readonly tiers: Tiers;
  readonly unranked: readonly string[];
  /** The response that keys act on. */
  readonly focus: string;
  /** Earlier orders, oldest first, for undo. */
  readonly past: readonly Order[];
  /**
   * Whether the order was changed on an earlier visit to this task. The value is stored separately, because a
   * restored draft has no `past`.
   */
  readonly touchedBefore: boolean;
  readonly tiesAllowed: boolean;
  readonly atMost: number | null;
};

export type RankingAction =
  /** Puts the response alone into slot `slot` (1 = best). The other responses close the gap. */
  | { type: "place"; id: string; slot: number }
  /** Ties the response with those in slot `slot`. */
  | { type: "join"; id: string; slot: number }
  /** Moves the response one step up (-1) or down (+1): first out of its tie, then past the neighbouring tier. */
  | { type: "move"; id: string; by: -1 | 1 }
  /**
   * If the response is tied, takes it out of the tie. Otherwise, ties the response with the tier above, or
   * with the tier below if there is no tier above.
   */
  | { type: "tie"; id: string }
  /** Removes the response from the order. */
  | { type: "unrank"; id: string }
  /** Sets the whole order. */
  | { type: "judge"; tiers: Tiers }
  /**
   * Drops the response at position `index` of the whole list. A response dropped between two tied responses
   * joins their tie. If responses can stay unranked, the list also contains the line between ranked and
   * unranked responses as an entry.
   */
  | { type: "drop"; id: string; index: number }
  | { type: "undo" }
  | { type: "focus"; id: string }
  | { type: "focusBy"; by: -1 | 1 }
  | { type: "focusEdge"; edge: "first" | "last" };

/** The maximum number of undo steps. Ranking ten responses normally takes fewer steps. */
const MAX_UNDO_STEPS = 200;

export function startRanking(shownOrder: readonly string[], rules: Rules): Ranking {
  const byChoice = rules.atMost !== null;
  return {
    tiers: byChoice ? [] : shownOrder.map((id) => [id]),
    unranked: byChoice ? [...shownOrder] : [],
    focus: shownOrder[0] ?? "",
    past: [],
    touchedBefore: false,
    tiesAllowed: rules.ties,
    atMost: rules.atMost,
  };
}

/** The ranking of a saved draft, or null if its tiers do not fit the responses or the form. */
export function restoreRanking(
  shownOrder: readonly string[],
  tiers: unknown,
  touched: boolean,
  rules: Rules,
): Ranking | null {
  if (!Array.isArray(tiers) || !tiers.every((tier) => Array.isArray(tier) && tier.length > 0)) return null;
  const ids = (tiers as string[][]).flat();
  if (new Set(ids).size !== ids.length || !ids.every((id) => shownOrder.includes(id))) return null;
  if (rules.atMost === null ? ids.length !== shownOrder.length : ids.length > rules.atMost) return null;
  if (!rules.ties && tiers.length !== ids.length) return null;
  return {
    ...startRanking(shownOrder, rules),
    tiers: tiers as string[][],
    unranked: shownOrder.filter((id) => !ids.includes(id)),
    // The focus starts on the first response of the restored order, not of the server's order.
    focus: ids[0] ?? shownOrder[0] ?? "",
    touchedBefore: touched,
  };
}

export function isTouched(ranking: Ranking): boolean {
  return ranking.touchedBefore || ranking.past.length > 0;
}

/** 1-based slot of a response; 0 if it is not ranked. */
export function slotOf(tiers: Tiers, id: string): number {
  return tiers.findIndex((tier) => tier.includes(id)) + 1;
}

export function sameTiers(a: Tiers, b: Tiers): boolean {
  return (
    a.length === b.length &&
    a.every((tier, index) => {
      const other = b[index] ?? [];
      return tier.length === other.length && tier.every((id) => other.includes(id));
    })
  );
}

function without(tiers: Tiers, id: string): Tiers {
  return tiers.map((tier) => tier.filter((other) => other !== id)).filter((tier) => tier.length > 0);
}

function insertTier(tiers: Tiers, index: number, tier: readonly string[]): Tiers {
  const at = Math.max(0, Math.min(index, tiers.length));
  return [...tiers.slice(0, at), tier, ...tiers.slice(at)];
}

function insertIntoTier(tiers: Tiers, index: number, id: string, at = Number.POSITIVE_INFINITY): Tiers {
  return tiers.map((tier, i) => (i === index ? [...tier.slice(0, at), id, ...tier.slice(at)] : tier));
}

/** All responses from top to bottom: the ranked ones, then the unranked ones. */
export function flat({ tiers, unranked }: Order): string[] {
  return [...tiers.flat(), ...unranked];
}

/** Number of slots: one for each response, or one for each of the best few. */
export function slotsOf(ranking: Ranking): number {
  const all = flat(ranking).length;
  return Math.min(ranking.atMost ?? all, all);
}

/** Whether any response is ranked above another. */
export function prefers({ tiers, unranked }: Order): boolean {
  return tiers.length + (tiers.length > 0 && unranked.length > 0 ? 1 : 0) > 1;
}

function place(tiers: Tiers, id: string, slot: number): Tiers {
  return insertTier(without(tiers, id), slot - 1, [id]);
}

function join(tiers: Tiers, id: string, slot: number): Tiers {
  const target = tiers[slot - 1];
  const anchor = target?.find((other) => other !== id);
  if (anchor === undefined || target?.includes(id)) return tiers;
  const rest = without(tiers, id);
  return insertIntoTier(rest, slotOf(rest, anchor) - 1, id);
}

function move(tiers: Tiers, id: string, by: -1 | 1): Tiers {
  const index = slotOf(tiers, id) - 1;
  const tied = (tiers[index]?.length ?? 0) > 1;
  if (tied) return insertTier(without(tiers, id), by === -1 ? index : index + 1, [id]);
  const target = index + by;
  if (target < 0 || target >= tiers.length) return tiers;
  return insertTier(without(tiers, id), target, [id]);
}

function toggleTie(tiers: Tiers, id: string): Tiers {
  const index = slotOf(tiers, id) - 1;
  if (index < 0) return tiers.length ? insertIntoTier(tiers, tiers.length - 1, id) : [[id]];
  if ((tiers[index]?.length ?? 0) > 1) return insertTier(without(tiers, id), index + 1, [id]);
  if (tiers.length < 2) return tiers;
  if (index > 0) return insertIntoTier(without(tiers, id), index - 1, id);
  return insertIntoTier(without(tiers, id), 0, id, 0);
}

function drop(tiers: Tiers, id: string, index: number, tiesAllowed: boolean): Tiers {
  const before = tiers.flat();
  const flat = before.filter((other) => other !== id);
  const at = Math.max(0, Math.min(index, flat.length));
  if (before[at] === id) return tiers;
  const rest = without(tiers, id);
  const above = flat[at - 1];
  const below = flat[at];
  if (tiesAllowed && above !== undefined && below !== undefined) {
    const tier = slotOf(rest, above) - 1;
    const members = rest[tier] ?? [];
    if (members.includes(below)) return insertIntoTier(rest, tier, id, members.indexOf(below));
  }
  return insertTier(rest, above === undefined ? 0 : slotOf(rest, above), [id]);
}

/**
 * Moves `id` by one step. An unranked response that moves up takes the last rank. If all ranks are taken, the
 * response that had the last rank becomes unranked. In a ranking of the best few, the last response
 * becomes unranked if it moves down.
 */
function step(ranking: Ranking, id: string, by: -1 | 1): Order {
  const { tiers, unranked, atMost } = ranking;
  if (slotOf(tiers, id) === 0) {
    if (by > 0) return ranking;
    const full = atMost !== null && tiers.flat().length >= atMost;
    return within(ranking, insertTier(tiers, full ? tiers.length - 1 : tiers.length, [id]));
  }
  const last = tiers.at(-1) ?? [];
  if (atMost !== null && by > 0 && last.length === 1 && last[0] === id) {
    return { tiers: without(tiers, id), unranked: [id, ...unranked] };
  }
  return within(ranking, move(tiers, id, by));
}

/**
 * Ranks the responses in `tiers`, up to the form's limit. All other responses, including the lowest responses
 * in `tiers` beyond the limit, are unranked.
 */
function within(ranking: Ranking, tiers: Tiers): Order {
  const order = tiers.flat();
  const over = order.slice(ranking.atMost ?? order.length);
  const kept = over.length
    ? tiers.map((tier) => tier.filter((id) => !over.includes(id))).filter((tier) => tier.length > 0)
    : tiers;
  const pushed = over.filter((id) => !ranking.unranked.includes(id));
  return {
    tiers: kept,
    unranked: [...pushed, ...ranking.unranked.filter((id) => !order.includes(id) || over.includes(id))],
  };
}

function dropped(ranking: Ranking, id: string, index: number): Order {
  const { tiers, unranked, tiesAllowed } = ranking;
  if (ranking.atMost === null) return { tiers: drop(tiers, id, index, tiesAllowed), unranked };
  const ranked = tiers.flat().filter((other) => other !== id).length;
  if (index <= ranked) return within(ranking, drop(tiers, id, index, tiesAllowed));
  const rest = unranked.filter((other) => other !== id);
  const at = Math.min(index - ranked - 1, rest.length);
  return { tiers: without(tiers, id), unranked: [...rest.slice(0, at), id, ...rest.slice(at)] };
}

function changed(ranking: Ranking, { tiers, unranked }: Order, focus: string): Ranking {
  const { tiers: before, unranked: left } = ranking;
  if (tiers === before || sameTiers(tiers, before)) return { ...ranking, unranked, focus };
  const past = [...ranking.past, { tiers: before, unranked: left }].slice(-MAX_UNDO_STEPS);
  return { ...ranking, tiers, unranked, focus, past };
}

export function reduce(ranking: Ranking, action: RankingAction): Ranking {
  const { tiers, unranked, tiesAllowed } = ranking;
  const order = flat(ranking);
  if ("id" in action && !order.includes(action.id)) return ranking;
  switch (action.type) {
    case "place":
      return changed(ranking, within(ranking, place(tiers, action.id, action.slot)), action.id);
    case "join":
      return changed(
        ranking,
        within(ranking, tiesAllowed ? join(tiers, action.id, action.slot) : tiers),
        action.id,
      );
    case "move":
      return changed(ranking, step(ranking, action.id, action.by), action.id);
    case "tie":
      return changed(ranking, within(ranking, tiesAllowed ? toggleTie(tiers, action.id) : tiers), action.id);
    case "unrank": {
      if (ranking.atMost === null || slotOf(tiers, action.id) === 0) return { ...ranking, focus: action.id };
      const left = { tiers: without(tiers, action.id), unranked: [action.id, ...unranked] };
      return changed(ranking, left, action.id);
    }
    case "judge":
      return changed(
        ranking,
        { tiers: action.tiers, unranked: order.filter((id) => slotOf(action.tiers, id) === 0) },
        ranking.focus,
      );
    case "drop":
      return changed(ranking, dropped(ranking, action.id, action.index), action.id);
    case "undo": {
      const previous = ranking.past.at(-1);
      return previous ? { ...ranking, ...previous, past: ranking.past.slice(0, -1) } : ranking;
    }
    case "focus":
      return { ...ranking, focus: action.id };
    case "focusBy": {
      const next = order[Math.max(0, Math.min(order.indexOf(ranking.focus) + action.by, order.length - 1))];
      return next === undefined ? ranking : { ...ranking, focus: next };
    }
    case "focusEdge": {
      const edge = action.edge === "first" ? order[0] : order.at(-1);
      return edge === undefined ? ranking : { ...ranking, focus: edge };
    }
  }
}
