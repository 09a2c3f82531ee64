import { MantineProvider } from "@mantine/core";
import { act, cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { LongList } from "./LongList";

const ROW_PX = 52;

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** A list that starts at the top of the page; `scrollTo` scrolls to a row. */
function open(count: number, onMore = vi.fn()) {
  let scrolled = 0;
  vi.spyOn(window, "scrollY", "get").mockImplementation(() => scrolled);
  vi.spyOn(Element.prototype, "getBoundingClientRect").mockImplementation(() => new DOMRect(0, -scrolled));
  const rows = Array.from({ length: count }, (_, index) => index);
  render(
    <MantineProvider>
      <LongList
        label="Tasks"
        columns={["Prompt"]}
        rows={rows}
        render={(row, { index, top }) => (
          <div key={row} data-testid="row" data-index={index} style={{ top }} />
        )}
        hasMore
        isFetching={false}
        onMore={onMore}
        onLookAgain={vi.fn()}
      />
    </MantineProvider>,
  );
  return {
    onMore,
    scrollTo: (row: number) =>
      act(async () => {
        scrolled = row * ROW_PX;
        window.dispatchEvent(new Event("scroll"));
      }),
  };
}

const drawn = () => screen.getAllByTestId("row").map(({ dataset }) => Number(dataset.index));

test("all rows on the screen and only a few others are in the document", async () => {
  const { scrollTo } = open(100_000);
  const onScreen = Math.ceil(window.innerHeight / ROW_PX);
  for (const top of [0, 500, 99_990, 7]) {
    await scrollTo(top);
    const rows = drawn();
    expect(rows).toContain(top);
    expect(rows).toContain(Math.min(99_999, top + onScreen));
    expect(rows.length).toBeLessThanOrEqual(onScreen + 50);
    expect(rows).toEqual(Array.from(rows, (_, place) => (rows[0] ?? 0) + place));
  }
});

test("scrolling by one row rarely changes the document", async () => {
  const { scrollTo } = open(100_000);
  const windows = new Set<string>();
  for (let row = 200; row < 280; row++) {
    await scrollTo(row);
    windows.add(drawn().join());
  }
  expect(windows.size).toBeLessThanOrEqual(22);
});

test("the next page is fetched well before the last row is visible", async () => {
  const { onMore, scrollTo } = open(200);
  expect(onMore).not.toHaveBeenCalled();
  await scrollTo(90);
  expect(onMore).toHaveBeenCalledOnce();
});
