import { type RefObject, useLayoutEffect } from "react";

/**
 * Of things that stand at `positions`, in the order they are wanted in: the indices of those that may stay, as many as can
 * be, when all others move. A longest rising run (Schensted 1961); n² steps, for a dozen cards.
 */
export function staying(positions: readonly number[]): ReadonlySet<number> {
  const lengths: number[] = [];
  const befores: number[] = [];
  let last = -1;
  positions.forEach((position, index) => {
    lengths[index] = 1;
    befores[index] = -1;
    for (let other = 0; other < index; other += 1) {
      const length = (lengths[other] ?? 0) + 1;
      if ((positions[other] ?? 0) < position && length > (lengths[index] ?? 0)) {
        lengths[index] = length;
        befores[index] = other;
      }
    }
    if (last < 0 || (lengths[index] ?? 0) > (lengths[last] ?? 0)) last = index;
  });
  const kept = new Set<number>();
  for (let index = last; index >= 0; index = befores[index] ?? -1) kept.add(index);
  return kept;
}

/** What it moves stays focused and keeps its layout; not in every browser yet. */
type Movable = { moveBefore?: (node: Node, child: Node | null) => void };

/**
 * What has changed on an element and decides how its descendants look (a card's place in a tie, which card is the current one)
 * is lost for them where moveBefore takes them along before their style is worked out: Chromium 156 forgets it, and keeps the
 * style they had. A leaf's style can't be told before that of all it stands in.
 */
function settleStyle(element: Element): void {
  let leaf = element;
  while (leaf.lastElementChild) leaf = leaf.lastElementChild;
  void getComputedStyle(leaf).color;
}

function arrange(list: HTMLElement, order: readonly string[]): void {
  const elements = [...list.children] as HTMLElement[];
  const positions = new Map(elements.map((element, index) => [element.dataset.place ?? "", index]));
  const wanted = order.flatMap((place) => positions.get(place) ?? []);
  const kept = staying(wanted);
  let next: HTMLElement | null = null;
  for (let index = wanted.length - 1; index >= 0; index -= 1) {
    const element = elements[wanted[index] ?? -1];
    if (!element) continue;
    if (!kept.has(index)) {
      if ((list as Movable).moveBefore) {
        settleStyle(element);
        (list as Movable).moveBefore?.(element, next);
      } else list.insertBefore(element, next);
    }
    next = element;
  }
}

/**
 * The children of `list`, each with its `data-place`, stand in `order` in the document; React is given them in an order that
 * never changes. Asked to put the last of ten first, React leaves that one and moves the nine others, and each that moves is
 * laid out anew: 20 of the 50 ms that a key may take until it is painted, with ten responses of 4,000 characters.
 */
export function useDomOrder(list: RefObject<HTMLElement | null>, order: readonly string[]): void {
  useLayoutEffect(() => {
    if (list.current) arrange(list.current, order);
  }, [list, order]);
}
