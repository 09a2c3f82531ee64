import { expect, test } from "vitest";
import { lettersOf, placesOf } from "./answer";

const letters = lettersOf([{ id: "x" }, { id: "y" }, { id: "z" }]);

test("an order is shown with letters, with ties in page order", () => {
  expect(placesOf({ tiers: [["z"], ["y", "x"]], shown_order: ["y", "z", "x"] }, letters)).toEqual({
    tiers: [["C"], ["A", "B"]],
    unranked: [],
  });
});

test("unranked responses are listed unless nothing was ranked", () => {
  expect(placesOf({ tiers: [["y"]], shown_order: ["z", "y", "x"] }, letters).unranked).toEqual(["A", "C"]);
  expect(placesOf({ tiers: [], shown_order: ["z", "y", "x"] }, letters).unranked).toEqual([]);
});
