import type { Texts } from "@/shared/i18n";
import type { en } from "../texts/order.en";
import { type Ranking, type RankingAction, sameTiers, slotOf, type Tiers } from "./rankingReducer";

export type OrderTexts = Texts<typeof en>;

/**
 * The letter of a response on this screen (A, B, C …). Letters follow the order in which the server listed
 * the responses. The letter never changes during ranking.
 */
export function letterOf(shownOrder: readonly string[], id: string): string {
  const index = shownOrder.indexOf(id);
  return index < 0 ? "?" : String.fromCharCode(65 + index);
}

/** The order in words, such as "B, then A and D tied, then C". */
export function spokenOrder(tiers: Tiers, shownOrder: readonly string[], texts: OrderTexts): string {
  if (tiers.length === 0) return texts.nothing;
  return texts.tiers(tiers.map((tier) => texts.tier(tier.map((id) => letterOf(shownOrder, id)))));
}

/** The announcement for screen readers after an action; empty if there is nothing to announce. */
export function announce(
  before: Ranking,
  action: RankingAction,
  after: Ranking,
  shownOrder: readonly string[],
  texts: OrderTexts,
): string {
  if (action.type === "focus" || action.type === "focusBy" || action.type === "focusEdge") return "";
  // For a pair, the chosen position is announced instead, because it is more informative than the order.
  if (action.type === "judge") return "";
  const unchanged = sameTiers(before.tiers, after.tiers);
  if (action.type === "undo") {
    return unchanged ? texts.nothingToUndo : texts.undone(spokenOrder(after.tiers, shownOrder, texts));
  }
  const letter = letterOf(shownOrder, action.id);
  const slot = slotOf(after.tiers, action.id);
  if (unchanged) {
    if ((action.type === "tie" || action.type === "join") && !after.tiesAllowed) return texts.noTies;
    if (slot === 0) return texts.staysUnranked(letter);
    if (action.type === "move") return (action.by < 0 ? texts.atTheTop : texts.atTheBottom)(letter);
    return texts.stays(letter, slot);
  }
  if (slot === 0) return texts.unranked(letter);
  const slots = after.tiers.length;
  const tiedWith = (after.tiers[slot - 1] ?? []).filter((id) => id !== action.id);
  const others = tiedWith.map((id) => letterOf(shownOrder, id));
  const pushed = after.unranked
    .filter((id) => !before.unranked.includes(id))
    .map((id) => letterOf(shownOrder, id));
  return [
    others.length ? texts.placedTied(letter, slot, slots, others) : texts.placed(letter, slot, slots),
    ...(pushed.length ? [texts.madeRoom(pushed)] : []),
  ].join(" ");
}
