/**
 * Scrolls as little as possible to show this card. If the card is taller than the window, shows its header, which
 * contains its letter and new rank. "nearest" would show the end of such a card, or leave it at the position to which
 * the browser's scroll anchoring moved it.
 */
export function bringIntoView(card: HTMLElement): void {
  const higher = card.getBoundingClientRect().height > window.innerHeight;
  card.scrollIntoView({ block: higher ? "start" : "nearest" });
}
