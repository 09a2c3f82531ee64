import { parse } from "valibot";
import { expect, test } from "vitest";
import type { LeaderboardRow } from "@/api/types";
import { chanceToWin, groupsOf, hasLevels, scaleOf, shareWon, tellable, winMatrix } from "./board";
import { boardSearch } from "./search";

const row = (model: string, changes: Partial<LeaderboardRow> = {}): LeaderboardRow => ({
  model,
  wins: 1,
  losses: 1,
  ties: 0,
  strength: 0,
  low: -1,
  high: 1,
  group: 0,
  level: 0,
  ...changes,
});

test("the board settings are read from the URL, and invalid parameters are ignored", () => {
  const board = { method: "davidson", by: "metadata", key: "topic" };
  expect(parse(boardSearch, board)).toEqual(board);
  expect(parse(boardSearch, { method: "elo", by: "moon", key: "x" })).toEqual({});
  expect(parse(boardSearch, { by: "round", key: "x" })).toEqual({ by: "round" });
});

test("intervals share a scale from the lowest to the highest bound", () => {
  const at = scaleOf([row("a", { low: 0, high: 3 }), row("b", { low: -1, high: 1 })]);
  expect([at(-1), at(1), at(3)]).toEqual([0, 50, 100]);
  expect(scaleOf([row("a", { low: 2, high: 2 })])(2)).toBe(50);
});

test("a difference in log odds is converted to a win probability", () => {
  expect(chanceToWin(0.4, 0.4)).toBe(0.5);
  expect(chanceToWin(Math.log(3), 0)).toBeCloseTo(0.75);
  expect(chanceToWin(1.2, -0.3) + chanceToWin(-0.3, 1.2)).toBeCloseTo(1);
});

test("groups are ordered by their best model, and levels within a group are detected", () => {
  const rows = [row("a", { group: 1 }), row("b", { group: 0, level: 3 }), row("c", { group: 1 })];
  expect(groupsOf(rows).map((group) => group.map(({ model }) => model))).toEqual([["a", "c"], ["b"]]);
  expect(hasLevels(rows)).toBe(false);
  expect(hasLevels([...rows, row("d", { group: 1, level: 1 })])).toBe(true);
});

test("models differ significantly if their intervals do not overlap", () => {
  const best = row("a", { low: 0.5, high: 1 });
  expect(tellable(row("b", { low: -1, high: 0.4 }), best)).toBe(true);
  expect(tellable(row("c", { low: -1, high: 0.6 }), best)).toBe(false);
  expect(tellable(best, best)).toBe(false);
});

test("the matrix shows each pair in both directions", () => {
  const met = winMatrix([{ model: "a", against: "b", wins: 3, losses: 1, ties: 2 }]);
  expect(met("b", "a")).toEqual({ wins: 1, losses: 3, ties: 2 });
  expect(met("a", "c")).toBeUndefined();
  expect([shareWon({ wins: 3, losses: 1, ties: 2 }), shareWon({ wins: 0, losses: 0, ties: 4 })]).toEqual([
    4 / 6,
    0.5,
  ]);
});
