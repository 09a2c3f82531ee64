/**
 * The least scrolling that shows this card; of one that is higher than the window its head, where its letter and its new place
 * stand and where one begins to read. "nearest" shows the end of such a card above, and leaves it where it is once it fills the
 * window: in the middle, after the browser's scroll anchoring followed it there.
 */
export function bringIntoView(card: HTMLElement): void {
  const higher = card.getBoundingClientRect().height > window.innerHeight;
  card.scrollIntoView({ block: higher ? "start" : "nearest" });
}
