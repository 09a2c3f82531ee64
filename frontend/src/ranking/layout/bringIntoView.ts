/**
 * Scrolls as little as possible to show this card. If the card is taller than the window, shows its header, which
 * contains its letter and new rank. With "nearest", the browser would show the end of a tall card, or leave the
 * card at the position to which scroll anchoring moved it.
 */
export function bringIntoView(card: HTMLElement): void {
  const higher = card.getBoundingClientRect().height > window.innerHeight;
  card.scrollIntoView({ block: higher ? "start" : "nearest" });
}
