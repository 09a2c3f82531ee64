import { render } from "@testing-library/react";
import { useRef } from "react";
import { describe, expect, it, vi } from "vitest";
import { staying, useDomOrder } from "./domOrder";

const PLACES = ["a", "b", "c", "d", "line"];

function List({ order }: { order: readonly string[] }) {
  const list = useRef<HTMLUListElement>(null);
  useDomOrder(list, order);
  return (
    <ul ref={list}>
      {PLACES.map((place) => (
        <li key={place} data-place={place} />
      ))}
    </ul>
  );
}

describe("as few elements as possible are moved", () => {
  it.each([
    ["nothing changes", [0, 1, 2, 3], [0, 1, 2, 3]],
    ["the last element becomes the first", [3, 0, 1, 2], [1, 2, 3]],
    ["the first element becomes the last", [1, 2, 3, 0], [0, 1, 2]],
    ["two elements are swapped", [0, 2, 1, 3], [0, 1, 3]],
    ["the order is reversed", [3, 2, 1, 0], [0]],
    ["the list is empty", [], []],
  ])("%s", (_, positions, kept) => {
    expect([...staying(positions)].sort((a, b) => a - b)).toEqual(kept);
  });

  it("the elements that stay form a longest increasing subsequence", () => {
    const positions = [4, 7, 0, 8, 1, 2, 9, 3, 5, 6];
    const kept = [...staying(positions)].sort((a, b) => a - b).map((index) => positions[index] ?? -1);
    expect(kept).toEqual([0, 1, 2, 3, 5, 6]);
  });
});

describe("the children of a list", () => {
  it("the children get the requested order with as few moves as possible", () => {
    const { container, rerender, unmount } = render(<List order={["b", "a", "line", "c", "d"]} />);
    const shown = () => [...container.querySelectorAll("li")].map((item) => item.dataset.place).join(" ");
    expect(shown()).toBe("b a line c d");
    const moves = vi.spyOn(container.querySelector("ul") as HTMLElement, "insertBefore");
    rerender(<List order={["d", "b", "a", "line", "c"]} />);
    expect(shown()).toBe("d b a line c");
    expect(moves).toHaveBeenCalledTimes(1);
    rerender(<List order={["line", "c", "a", "b", "d"]} />);
    expect(shown()).toBe("line c a b d");
    unmount();
  });
});
