/**
 * Scrolls as little as possible to show this card. If the card is taller than the window, shows the card's
 * header, which contains the letter and the new rank. With "nearest", the browser could show the end of a
 * tall card, or leave the card where scroll anchoring moved it.
 */
export function bringIntoView(card: HTMLElement): void {
  const higher = card.getBoundingClientRect().height > window.innerHeight;
  card.scrollIntoView({ block: higher ? "start" : "nearest" });
}
