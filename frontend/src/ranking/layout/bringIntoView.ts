/**
 * Scrolls as little as possible to show this card; for a card higher than the window, to its head, with its letter
 * and new place. "nearest" would show the end of such a card, or leave it where the browser's scroll anchoring moved
 * it.
 */
export function bringIntoView(card: HTMLElement): void {
  const higher = card.getBoundingClientRect().height > window.innerHeight;
  card.scrollIntoView({ block: higher ? "start" : "nearest" });
}
