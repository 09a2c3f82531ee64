import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { placeOf, topAt } from "./layouts";

/** A tolerance is needed, because browsers round scroll positions to device pixels. */
const SAME_PLACE_PX = 2;

const cardsIn = (list: HTMLElement) => [...list.querySelectorAll<HTMLElement>("[data-response-id]")];
const roomBelow = (card: HTMLElement) => card.scrollHeight - card.clientHeight;

/**
 * Manages the scroll positions of cards that scroll separately. If `together` is set and one card is
 * scrolled, the hook scrolls all cards to the same relative position. Browsers scroll a card to the top when
 * the card is hidden or moved in the document; the hook then restores the card's position.
 */
export function useScrollTogether(
  list: RefObject<HTMLElement | null>,
  { apart, together, order }: { apart: boolean; together: boolean; order: string },
): void {
  // Positions are relative, from 0 to 1, because a card off the screen has only an estimated length, which
  // changes when the card is laid out.
  const places = useRef(new Map<string, number>());

  useEffect(() => {
    const root = list.current;
    if (!root || !apart) return;
    // The hook's own scrolling also triggers scroll events, which must be ignored. Otherwise, two cards would
    // scroll each other forever.
    const ours = new WeakMap<HTMLElement, number>();
    function onScroll({ target }: Event) {
      if (target === root) return putBack(root as HTMLElement, places.current);
      if (!(target instanceof HTMLElement) || !target.dataset.responseId) return;
      const top = target.scrollTop;
      const set = ours.get(target);
      ours.delete(target);
      if (set !== undefined && Math.abs(set - top) <= SAME_PLACE_PX) return;
      const place = placeOf(top, roomBelow(target));
      places.current.set(target.dataset.responseId, place);
      if (!together) return;
      const moves = cardsIn(root as HTMLElement).map((other) => {
        places.current.set(other.dataset.responseId ?? "", place);
        return { other, to: topAt(place, roomBelow(other)) };
      });
      for (const { other, to } of moves) {
        if (other === target || Math.abs(other.scrollTop - to) <= SAME_PLACE_PX) continue;
        ours.set(other, to);
        other.scrollTop = to;
      }
    }
    // Scroll events do not bubble, but they can be captured.
    root.addEventListener("scroll", onScroll, { capture: true, passive: true });
    return () => root.removeEventListener("scroll", onScroll, { capture: true });
  }, [list, apart, together]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: cards lose their scroll position when the order or pair changes
  useLayoutEffect(() => {
    if (apart && list.current) putBack(list.current, places.current);
  }, [list, apart, order]);
}

function putBack(list: HTMLElement, places: ReadonlyMap<string, number>): void {
  for (const card of cardsIn(list)) {
    const place = places.get(card.dataset.responseId ?? "") ?? 0;
    if (place === 0) continue;
    const to = topAt(place, roomBelow(card));
    if (Math.abs(card.scrollTop - to) > SAME_PLACE_PX) card.scrollTop = to;
  }
}
