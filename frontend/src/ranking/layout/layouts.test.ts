// @vitest-environment jsdom
import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { layoutAfter, offeredLayouts, placeOf, shownLayout, topAt, twoShown } from "./layouts";
import { recall, remember } from "./remembered";

describe("the layout", () => {
  it("the layouts offered depend on the screen width and the type of task", () => {
    expect(offeredLayouts(false, false)).toEqual(["column", "row", "focus"]);
    expect(offeredLayouts(false, true)).toEqual(["column", "focus"]);
    expect(offeredLayouts(true, false)).toEqual(["column", "row"]);
    expect(offeredLayouts(true, true)).toEqual(["column"]);
  });

  it("falls back to a column if the chosen layout is not offered", () => {
    expect(shownLayout("row", offeredLayouts(false, true))).toBe("column");
    expect(shownLayout("focus", offeredLayouts(false, true))).toBe("focus");
  });

  it("changes to the next layout with each key press", () => {
    const offered = offeredLayouts(false, false);
    expect(offered.map((layout) => layoutAfter(layout, offered))).toEqual(["row", "focus", "column"]);
    expect(layoutAfter("column", ["column"])).toBe("column");
  });
});

describe("the two-at-a-time layout", () => {
  const order = ["a", "b", "c", "d"];

  it("each step down the order replaces one response", () => {
    expect(order.map((id) => twoShown(order, id, null).join(""))).toEqual(["ab", "ab", "bc", "cd"]);
  });

  it("includes the response kept in view, in ranked order", () => {
    expect(order.map((id) => twoShown(order, id, "c").join(""))).toEqual(["ac", "bc", "bc", "cd"]);
    expect(twoShown(order, "b", "gone")).toEqual(["a", "b"]);
  });

  it("always includes the current response and the one kept in view", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string(), { minLength: 2, maxLength: 10 }),
        fc.nat(),
        fc.option(fc.nat()),
        (ids, at, held) => {
          const focus = ids[at % ids.length] as string;
          const two = twoShown(ids, focus, held === null ? null : (ids[held % ids.length] as string));
          expect(two).toHaveLength(2);
          expect(two).toContain(focus);
          if (held !== null) expect(two).toContain(ids[held % ids.length]);
        },
      ),
    );
  });
});

it("scrolling together keeps the same relative position in each text", () => {
  const alongWith = (top: number, length: number, other: number) => topAt(placeOf(top, length), other);
  expect(alongWith(50, 100, 1_000)).toBe(500);
  expect(alongWith(100, 100, 37)).toBe(37);
  // Touch screens report positions beyond both ends, and cards that do not scroll have a length of 0 or less.
  expect(alongWith(120, 100, 50)).toBe(50);
  expect(alongWith(10, 0, 100)).toBe(0);
  expect(alongWith(10, 100, -3)).toBe(0);
});

describe("the remembered view settings", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
    localStorage.clear();
  });

  it("the last choice is remembered", () => {
    const chosen = { list: "focus", pair: "column", together: false, keyLine: false } as const;
    remember(chosen);
    expect(recall()).toEqual(chosen);
  });

  it.each(["", "null", "[]", "{", '{"list":"diagonal","pair":7,"together":"yes","keyLine":1}'])(
    "invalid stored settings are replaced by the defaults: %s",
    (kept) => {
      localStorage.setItem("rankloop.desk.view", kept);
      expect(recall()).toEqual({ list: "column", pair: "row", together: true, keyLine: true });
    },
  );

  it("the settings are kept in memory if storage fails", () => {
    const refuse = () => {
      throw new DOMException("refused", "SecurityError");
    };
    vi.stubGlobal("localStorage", { getItem: refuse, setItem: refuse });
    expect(recall().list).toBe("column");
    remember({ list: "row", pair: "row", together: true, keyLine: true });
    expect(recall().list).toBe("row");
    vi.unstubAllGlobals();
    remember({ list: "column", pair: "row", together: true, keyLine: true });
    expect(recall().list).toBe("column");
  });
});
