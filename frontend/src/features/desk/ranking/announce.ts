import { type Ranking, type RankingAction, sameTiers, slotOf, type Tiers } from "./ranking";

/** A, B, C …: the name of a response on this screen, by the order it was served in. It never changes while ranking. */
export function letterOf(shownOrder: readonly string[], id: string): string {
  const index = shownOrder.indexOf(id);
  return index < 0 ? "?" : String.fromCharCode(65 + index);
}

function list(letters: readonly string[]): string {
  return letters.length < 2 ? (letters[0] ?? "") : `${letters.slice(0, -1).join(", ")} and ${letters.at(-1)}`;
}

/** "B, then A and D tied, then C" */
export function spokenOrder(tiers: Tiers, shownOrder: readonly string[]): string {
  if (tiers.length === 0) return "nothing is ranked";
  return tiers
    .map((tier) => {
      const letters = tier.map((id) => letterOf(shownOrder, id));
      return letters.length > 1 ? `${list(letters)} tied` : letters[0];
    })
    .join(", then ");
}

/** What a screen reader is told after an action; empty when there is nothing to say. */
export function announce(
  before: Ranking,
  action: RankingAction,
  after: Ranking,
  shownOrder: readonly string[],
): string {
  if (action.type === "focus" || action.type === "focusBy" || action.type === "focusEdge") return "";
  // The position picked says more than the order it makes.
  if (action.type === "judge") return "";
  const unchanged = sameTiers(before.tiers, after.tiers);
  if (action.type === "undo") {
    return unchanged ? "Nothing to undo." : `Undone. Order: ${spokenOrder(after.tiers, shownOrder)}.`;
  }
  const letter = letterOf(shownOrder, action.id);
  if (unchanged) {
    if ((action.type === "tie" || action.type === "join") && !after.tiesAllowed)
      return "This project does not allow ties.";
    if (slotOf(after.tiers, action.id) === 0) return `Response ${letter} stays unranked.`;
    if (action.type === "move")
      return `Response ${letter} is already at the ${action.by < 0 ? "top" : "bottom"}.`;
    return `Response ${letter} stays at ${slotOf(after.tiers, action.id)}.`;
  }
  const slot = slotOf(after.tiers, action.id);
  if (slot === 0) return `Response ${letter} is not ranked now.`;
  const tiedWith = (after.tiers[slot - 1] ?? []).filter((id) => id !== action.id);
  const where = `Response ${letter} is ${slot} of ${after.tiers.length}`;
  const tied = tiedWith.length ? `, tied with ${list(tiedWith.map((id) => letterOf(shownOrder, id)))}` : "";
  const pushed = after.unranked.filter((id) => !before.unranked.includes(id));
  const gone = pushed.length
    ? ` ${list(pushed.map((id) => letterOf(shownOrder, id)))} made room and is not ranked now.`
    : "";
  return `${where}${tied}.${gone}`;
}
