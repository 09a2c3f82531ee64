/** The arrangement of responses on the desk: in one column, all side by side, or two at a time. */
export type Layout = "column" | "row" | "focus";

const ALL: readonly Layout[] = ["column", "row", "focus"];

/**
 * The layouts offered. A pair has no two-at-a-time layout, because it has only two responses. Narrow screens
 * have no side-by-side layout.
 */
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
 * The two responses to show, in ranked order: the current response and the response kept in view. If no other
 * response is kept in view, the second response is the one above the current response (below it, if the
 * current response is the first). When the user then goes to the next response, only one of the two shown
 * responses is replaced.
 */
export function twoShown(order: readonly string[], focus: string, held: string | null): readonly string[] {
  const at = order.indexOf(focus);
  const beside =
    held !== null && held !== focus && order.includes(held) ? held : order[at === 0 ? 1 : at - 1];
  return order.filter((id) => id === focus || id === beside);
}

/**
 * The relative scroll position of a card, from 0 to 1. The position is 0 if the card is too short to scroll.
 */
export function placeOf(top: number, length: number): number {
  return length > 0 ? Math.max(0, Math.min(1, top / length)) : 0;
}

/** Converts a relative position to a scroll offset in a card of another length. */
export function topAt(place: number, length: number): number {
  return Math.round(place * Math.max(0, length));
}
