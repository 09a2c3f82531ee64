/** Which rows of a long list are worth drawing. All rows are of one height, so this is arithmetic, not measuring. */

export type RowWindow = { first: number; end: number };

/** Rows drawn beyond the edges, so that a flick of the wheel meets rows and not the page's background. */
const OVERSCAN = 12;
/** The window moves by so many rows at once: one render for eight rows' scrolling, not one for each. */
const STEP = 8;

/** `top` is how far the list's beginning lies above the screen's (negative: below it), in pixels. */
export function rowWindow(top: number, screen: number, rowHeight: number, rows: number): RowWindow {
  const seen = Math.max(0, Math.floor(top / rowHeight));
  const first = Math.max(0, Math.floor((seen - OVERSCAN) / STEP) * STEP);
  const last = Math.ceil((Math.max(0, top) + screen) / rowHeight) + OVERSCAN;
  return { first: Math.min(first, rows), end: Math.min(rows, Math.ceil(last / STEP) * STEP) };
}

/** More is fetched while there are still some screens to scroll through. */
export function nearTheEnd(shown: RowWindow, loaded: number): boolean {
  return shown.end > loaded - 100;
}
