/**
 * The ranking being made: ordered tiers of response ids, best first; a tier of two or more is a tie.
 *
 * Everything that changes it (keys, buttons, drag) goes through `reduce`, a pure function, so an order reached by keyboard is
 * the order reached by mouse. Two invariants hold after every action: each response stands in exactly one tier, and no tier
 * is empty.
 */

export type Tiers = readonly (readonly string[])[];

export type Ranking = {
  readonly tiers: Tiers;
  /** The response that keys act on. */
  readonly focus: string;
  /** Earlier orders, oldest first, for undo. */
  readonly past: readonly Tiers[];
  /** The annotator changed the order on an earlier visit to this task (a restored draft has no `past`). */
  readonly touchedBefore: boolean;
  readonly tiesAllowed: boolean;
};

export type RankingAction =
  /** Stand alone in slot `slot` (1 = best); the rest close up behind. */
  | { type: "place"; id: string; slot: number }
  /** Share slot `slot` with the responses already in it. */
  | { type: "join"; id: string; slot: number }
  /** One step up (-1) or down (+1): first out of a tie, then past the neighbouring tier. */
  | { type: "move"; id: string; by: -1 | 1 }
  /** Tie with the tier above (the top response: with the one below), or leave the tie it is in. */
  | { type: "tie"; id: string }
  /** Dropped at `index` of the list read top to bottom; between two tied responses means joining them. */
  | { type: "drop"; id: string; index: number }
  | { type: "undo" }
  | { type: "focus"; id: string }
  | { type: "focusBy"; by: -1 | 1 }
  | { type: "focusEdge"; edge: "first" | "last" };

/** Enough to undo every change of a long think about ten responses without growing for ever. */
const MAX_UNDO_STEPS = 200;

export function startRanking(shownOrder: readonly string[], tiesAllowed: boolean): Ranking {
  return {
    tiers: shownOrder.map((id) => [id]),
    focus: shownOrder[0] ?? "",
    past: [],
    touchedBefore: false,
    tiesAllowed,
  };
}

/** The ranking of a saved draft, or null when its tiers are not exactly the responses shown. */
export function restoreRanking(
  shownOrder: readonly string[],
  tiers: unknown,
  touched: boolean,
  tiesAllowed: boolean,
): Ranking | null {
  if (!Array.isArray(tiers) || !tiers.every((tier) => Array.isArray(tier) && tier.length > 0)) return null;
  const ids = (tiers as string[][]).flat();
  const complete = ids.length === shownOrder.length && new Set(ids).size === ids.length;
  if (!complete || !shownOrder.every((id) => ids.includes(id))) return null;
  if (!tiesAllowed && tiers.length !== ids.length) return null;
  return { ...startRanking(shownOrder, tiesAllowed), tiers: tiers as string[][], touchedBefore: touched };
}

export function isTouched(ranking: Ranking): boolean {
  return ranking.touchedBefore || ranking.past.length > 0;
}

/** 1-based slot of a response; 0 when it is not in the ranking. */
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

function changed(ranking: Ranking, tiers: Tiers, focus: string): Ranking {
  if (tiers === ranking.tiers || sameTiers(tiers, ranking.tiers)) return { ...ranking, focus };
  return { ...ranking, tiers, focus, past: [...ranking.past, ranking.tiers].slice(-MAX_UNDO_STEPS) };
}

export function reduce(ranking: Ranking, action: RankingAction): Ranking {
  const { tiers, tiesAllowed } = ranking;
  if ("id" in action && slotOf(tiers, action.id) === 0) return ranking;
  switch (action.type) {
    case "place":
      return changed(ranking, place(tiers, action.id, action.slot), action.id);
    case "join":
      return changed(ranking, tiesAllowed ? join(tiers, action.id, action.slot) : tiers, action.id);
    case "move":
      return changed(ranking, move(tiers, action.id, action.by), action.id);
    case "tie":
      return changed(ranking, tiesAllowed ? toggleTie(tiers, action.id) : tiers, action.id);
    case "drop":
      return changed(ranking, drop(tiers, action.id, action.index, tiesAllowed), action.id);
    case "undo": {
      const previous = ranking.past.at(-1);
      return previous ? { ...ranking, tiers: previous, past: ranking.past.slice(0, -1) } : ranking;
    }
    case "focus":
      return { ...ranking, focus: action.id };
    case "focusBy": {
      const order = tiers.flat();
      const next = order[Math.max(0, Math.min(order.indexOf(ranking.focus) + action.by, order.length - 1))];
      return next === undefined ? ranking : { ...ranking, focus: next };
    }
    case "focusEdge": {
      const order = tiers.flat();
      const edge = action.edge === "first" ? order[0] : order.at(-1);
      return edge === undefined ? ranking : { ...ranking, focus: edge };
    }
  }
}
