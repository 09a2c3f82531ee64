import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { alongWith } from "./layouts";

/** Browsers round scroll positions to their own pixels. */
const SAME_PLACE_PX = 2;

const cardsIn = (list: HTMLElement) => [...list.querySelectorAll<HTMLElement>("[data-response-id]")];
const roomBelow = (card: HTMLElement) => card.scrollHeight - card.clientHeight;

/**
 * Cards that scroll by themselves: together where that is wanted, each as far through its own length; and each where it was
 * after it moved in the document or was hidden, which the browser answers by scrolling it to its top.
 */
export function useScrollTogether(
  list: RefObject<HTMLElement | null>,
  { apart, together, order }: { apart: boolean; together: boolean; order: string },
): void {
  const places = useRef(new Map<string, number>());

  useEffect(() => {
    const root = list.current;
    if (!root || !apart) return;
    // What this hook scrolled answers with an event too; without the mark two cards would push each other for ever.
    const ours = new WeakMap<HTMLElement, number>();
    function onScroll(event: Event) {
      const card = event.target;
      if (!(card instanceof HTMLElement) || !card.dataset.responseId) return;
      const top = card.scrollTop;
      places.current.set(card.dataset.responseId, top);
      const set = ours.get(card);
      ours.delete(card);
      if (!together || (set !== undefined && Math.abs(set - top) <= SAME_PLACE_PX)) return;
      const moves = cardsIn(root as HTMLElement)
        .filter((other) => other !== card && other.clientHeight > 0)
        .map((other) => ({ other, to: alongWith(top, roomBelow(card), roomBelow(other)) }));
      for (const { other, to } of moves) {
        places.current.set(other.dataset.responseId ?? "", to);
        if (Math.abs(other.scrollTop - to) <= SAME_PLACE_PX) continue;
        ours.set(other, to);
        other.scrollTop = to;
      }
    }
    // Scrolling does not bubble, but it can be caught on its way down.
    root.addEventListener("scroll", onScroll, { capture: true, passive: true });
    return () => root.removeEventListener("scroll", onScroll, { capture: true });
  }, [list, apart, together]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new order, or another pair, is when cards lose their place
  useLayoutEffect(() => {
    if (!apart || !list.current) return;
    for (const card of cardsIn(list.current)) {
      const place = places.current.get(card.dataset.responseId ?? "") ?? 0;
      if (place > 0 && Math.abs(card.scrollTop - place) > SAME_PLACE_PX) card.scrollTop = place;
    }
  }, [list, apart, order]);
}
