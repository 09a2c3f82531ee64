import fc from "fast-check";
import { expect, test } from "vitest";
import { nearTheEnd, rowWindow } from "./rowWindow";

test("every row on the screen is drawn, and few others", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -2_000, max: 6_000_000 }),
      fc.integer({ min: 200, max: 3_000 }),
      fc.integer({ min: 20, max: 120 }),
      fc.integer({ min: 0, max: 100_000 }),
      (top, screen, height, rows) => {
        const { first, end } = rowWindow(top, screen, height, rows);
        expect(first).toBeGreaterThanOrEqual(0);
        expect(end).toBeLessThanOrEqual(rows);
        expect(end - first).toBeLessThanOrEqual(screen / height + 50);
        const seen = Math.max(0, Math.floor(top / height));
        if (top >= 0 && seen < rows) {
          expect(first).toBeLessThanOrEqual(seen);
          expect(end).toBeGreaterThanOrEqual(Math.min(rows, Math.ceil((top + screen) / height)));
        }
      },
    ),
  );
});

test("scrolling by a row seldom draws anew", () => {
  const drawn = new Set(
    Array.from({ length: 80 }, (_, row) => JSON.stringify(rowWindow(10_000 + row * 50, 900, 50, 100_000))),
  );
  expect(drawn.size).toBeLessThanOrEqual(22);
});

test("more is fetched long before the end is seen", () => {
  expect(nearTheEnd({ first: 0, end: 40 }, 200)).toBe(false);
  expect(nearTheEnd({ first: 60, end: 104 }, 200)).toBe(true);
});
