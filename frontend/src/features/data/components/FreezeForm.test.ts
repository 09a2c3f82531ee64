// @vitest-environment jsdom
import { expect, test } from "vitest";
import { selectionOf } from "./FreezeForm";

const EVERYTHING = { aggregation: "every", agreement: "", after: "", before: "", gold: false, license: "" };

test("nothing is sent if no filter is chosen", () => {
  expect(selectionOf(EVERYTHING)).toEqual({});
});

test("only the chosen filters are sent, and dates are whole days", () => {
  const choice = { ...EVERYTHING, aggregation: "majority", agreement: 70, before: "2026-12-31", gold: true };
  expect(selectionOf(choice)).toEqual({
    aggregation: "majority",
    min_agreement: 0.7,
    before: "2027-01-01T00:00:00.000Z",
    gold: "included",
  });
  expect(selectionOf({ ...EVERYTHING, agreement: 0, after: "2026-01-31" })).toEqual({
    min_agreement: 0,
    after: "2026-01-31T00:00:00Z",
  });
});
