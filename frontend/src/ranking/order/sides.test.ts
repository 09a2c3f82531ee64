import { describe, expect, it } from "vitest";
import type { AnswerForm, Assignment } from "@/api/types";
import { EMPTY_FIELDS, missing, toAnswer, toDraft } from "../answer/answer";
import { formOf } from "../answer/formFixture";
import { type DeskAction, type DeskState, deskReducer, openDesk } from "../state/deskState";
import { en } from "../texts/answer.en";
import { en as order } from "../texts/order.en";
import { isPairForm, positionOf, sidesOf, sideWords, signed, stepFrom } from "./sides";

const pairOf = (parts: Partial<AnswerForm> = {}) => formOf({ responses: { min: 2, max: 2 }, ...parts });
const graded = (...labels: string[]) => ({
  levels: labels.map((label, index) => ({ value: index + 1, label })),
  required: true,
});
const HH = pairOf({
  ties: false,
  strength: graded("barely better", "better", "clearly better", "much better"),
});
const HELPSTEER = pairOf({
  tie_label: "about the same",
  strength: graded("slightly better", "better", "much better"),
});
const ARENA = pairOf({ tie_label: "Tie", all_bad: { label: "Both are bad", order: "tied" } });
const SHOWN = ["x", "y"];
const LETTERS = new Map([
  ["x", "A"],
  ["y", "B"],
]);

function desk(form: AnswerForm, draft: unknown = null): DeskState {
  const responses = SHOWN.map((id) => ({ id, text: id }));
  return openDesk({ id: "a", token: "t", responses, form } as unknown as Assignment, draft);
}
const run = (state: DeskState, ...actions: DeskAction[]) =>
  actions.reduce((before, action) => deskReducer(before, action, order), state);
const pick = (position: number): DeskAction => ({ type: "pick", position });
const sent = ({ form, ranking, fields }: DeskState) =>
  toAnswer(toDraft(ranking, fields, 0), "t", form, SHOWN);
const where = ({ form, ranking, fields }: DeskState) =>
  positionOf(sidesOf(form), SHOWN, ranking.tiers, fields);

describe("the scale for a pair", () => {
  it("has all degrees on both sides, a tie if allowed, and “both are bad”", () => {
    expect(sidesOf(HH).map((side) => sideWords(side, order))).toEqual([
      "A is much better",
      "A is clearly better",
      "A is better",
      "A is barely better",
      "B is barely better",
      "B is better",
      "B is clearly better",
      "B is much better",
    ]);
    expect(sidesOf(HELPSTEER).map(signed)).toEqual(["−3", "−2", "−1", "0", "+1", "+2", "+3"]);
    expect(sidesOf(ARENA).map((side) => sideWords(side, order))).toEqual([
      "A is better",
      "Tie",
      "B is better",
      "Both are bad",
    ]);
    expect(sidesOf(pairOf({ all_bad: { label: "Bad", order: "asked" } }))).toHaveLength(3);
  });

  it("the scale exists only for forms with exactly two responses", () => {
    expect([
      isPairForm(HH),
      isPairForm(formOf()),
      isPairForm(formOf({ responses: { min: 2, max: 3 } })),
    ]).toEqual([true, false, false]);
  });

  it("the answer is empty until a position is chosen", () => {
    const fresh = desk(HH);
    expect([where(fresh), fresh.ranking.tiers]).toEqual([-1, []]);
    expect(missing(HH, EMPTY_FIELDS, fresh.ranking, LETTERS, en.gaps)).toEqual([
      { field: "tiers", text: "which response is better", required: true },
    ]);
  });

  it.each([
    [HH, 1, [["x"], ["y"]], 4, false],
    [HH, 4, [["x"], ["y"]], 1, false],
    [HH, 5, [["y"], ["x"]], 1, false],
    [HH, 8, [["y"], ["x"]], 4, false],
    [HELPSTEER, 4, [["x", "y"]], null, false],
    [ARENA, 1, [["x"], ["y"]], null, false],
    [ARENA, 2, [["x", "y"]], null, false],
    [ARENA, 4, [["x", "y"]], null, true],
  ])("maps a position to an answer and back (%#: %o)", (form, position, tiers, strength, all_bad) => {
    const state = run(desk(form), pick(position));
    expect(sent(state)).toMatchObject({ tiers, strength, all_bad, touched: true });
    expect(where(state)).toBe(position - 1);
    expect(missing(form, state.fields, state.ranking, LETTERS, en.gaps)).toEqual([]);
    // The position is restored after a reload.
    const back = desk(form, JSON.parse(JSON.stringify(toDraft(state.ranking, state.fields, 0))));
    expect([where(back), sent(back)]).toEqual([position - 1, sent(state)]);
  });

  it("removes all effects of the previous choice when another position is chosen", () => {
    expect(sent(run(desk(HELPSTEER), pick(1), pick(4)))).toMatchObject({
      tiers: [["x", "y"]],
      strength: null,
    });
    expect(sent(run(desk(ARENA), pick(4), pick(3)))).toMatchObject({ tiers: [["y"], ["x"]], all_bad: false });
    const unclear = run(desk(HH), { type: "fields", change: { not_rankable: true } }, pick(2));
    expect(sent(unclear)).toMatchObject({ not_rankable: false, strength: 3 });
  });

  it("ignores a position that does not exist", () => {
    const state = desk(ARENA);
    expect(run(state, pick(9))).toBe(state);
  });

  it("steps outwards from the weakest position, but never to “both are bad”", () => {
    const by = (by: -1 | 1): DeskAction => ({ type: "pickBy", by });
    expect(where(run(desk(HH), by(-1)))).toBe(3);
    expect(where(run(desk(HH), by(1)))).toBe(4);
    expect(where(run(desk(HH), by(1), by(1)))).toBe(5);
    expect(where(run(desk(HH), by(-1), by(-1), by(-1), by(-1), by(-1)))).toBe(0);
    expect(where(run(desk(HELPSTEER), by(1), by(-1)))).toBe(3);
    expect(where(run(desk(ARENA), by(1), by(1), by(1)))).toBe(2);
    expect(stepFrom(sidesOf(ARENA), 3, -1)).toBe(0);
  });

  it("announces the chosen position", () => {
    expect(run(desk(HELPSTEER), pick(7)).spoken.text).toBe("B is much better.");
    expect(run(desk(HELPSTEER), pick(4)).spoken.text).toBe("About the same.");
  });

  it("does not change “both are bad” if that is a separate question", () => {
    const form = pairOf({ all_bad: { label: "Both are bad", order: "asked" } });
    const state = run(desk(form), { type: "fields", change: { all_bad: true } }, pick(1));
    expect(sent(state)).toMatchObject({ tiers: [["x"], ["y"]], all_bad: true });
  });

  it("does not send an order if “both are bad” replaces the order", () => {
    const form = pairOf({ all_bad: { label: "Both are bad", order: "none" } });
    const state = run(desk(form), pick(1), pick(4));
    expect(sent(state)).toMatchObject({ tiers: [], all_bad: true, strength: null });
    expect(missing(form, state.fields, state.ranking, LETTERS, en.gaps)).toEqual([]);
  });
});
