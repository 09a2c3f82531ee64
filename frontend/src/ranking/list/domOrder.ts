import { type RefObject, useLayoutEffect } from "react";

/**
 * Returns the largest set of elements that can stay in place while all other elements move. `positions` lists
 * the elements' current positions in the desired order. The result contains the indices of a longest
 * increasing subsequence (Schensted 1961). The search takes n² steps, which is fast enough for a dozen cards.
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

/**
 * `moveBefore`, which not every browser supports yet, preserves the focus and the layout of the moved
 * element.
 */
type Movable = { moveBefore?: (node: Node, child: Node | null) => void };

/**
 * Forces a style recalculation before `moveBefore`. If an element is moved while style changes are pending,
 * for example because a card has a new place in a tie, Chromium 156 loses these changes for the element's
 * descendants. Reading a leaf's style computes the style of all its ancestors.
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
 * Arranges the children of `list` in the document according to `order`. The attribute `data-place` identifies
 * each child, and React renders the children in a fixed order. To put the last of ten children first, React
 * would move the other nine children. Each moved child would be laid out again. With ten responses of 4,000
 * characters, such moves took 20 of the 50 ms between a key press and the resulting frame.
 */
export function useDomOrder(list: RefObject<HTMLElement | null>, order: readonly string[]): void {
  useLayoutEffect(() => {
    if (list.current) arrange(list.current, order);
  }, [list, order]);
}
