/** How the responses stand on the desk: below each other, side by side, or two of them side by side. */
export type Layout = "column" | "row" | "focus";

const ALL: readonly Layout[] = ["column", "row", "focus"];

/** Two responses side by side are two at a time already; on a phone only what stands below each other can be read. */
export function offeredLayouts(pair: boolean, narrow: boolean): readonly Layout[] {
  return ALL.filter((layout) => !(layout === "row" && narrow) && !(layout === "focus" && pair));
}

export function shownLayout(wanted: Layout, offered: readonly Layout[]): Layout {
  return offered.includes(wanted) ? wanted : (offered[0] ?? "column");
}

export function layoutAfter(layout: Layout, offered: readonly Layout[]): Layout {
  return offered[(offered.indexOf(layout) + 1) % offered.length] ?? layout;
}

/**
 * The two that are looked at, as they stand in the order: the current one with the one held, else with the one above it, so
 * that a step down the order changes one of the two.
 */
export function twoShown(order: readonly string[], focus: string, held: string | null): readonly string[] {
  const at = order.indexOf(focus);
  const beside =
    held !== null && held !== focus && order.includes(held) ? held : order[at === 0 ? 1 : at - 1];
  return order.filter((id) => id === focus || id === beside);
}

/** How far a card is scrolled through its own length, from 0 to 1; a short one that can't scroll is at its top. */
export function placeOf(top: number, length: number): number {
  return length > 0 ? Math.max(0, Math.min(1, top / length)) : 0;
}

/** The same place in a card of another length. */
export function topAt(place: number, length: number): number {
  return Math.round(place * Math.max(0, length));
}
