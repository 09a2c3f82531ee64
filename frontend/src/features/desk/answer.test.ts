import { describe, expect, it } from "vitest";
import type { Assignment } from "@/api/types";
import { EMPTY_FIELDS, missing, restore, toAnswer, toDraft } from "./answer";
import { formOf } from "./formFixture";
import { isTouched, reduce, startRanking } from "./ranking/ranking";

const FORM = formOf({
  strength: { levels: [{ value: 1, label: "better" }], required: false },
  ratings: [{ name: "helpful", label: "Helpful", min: 0, max: 4, required: false, points: [] }],
  flags: [{ name: "unsafe", label: "Unsafe" }],
  comment: { label: "Comment", required: false },
  rewrite: { label: "A better answer", required: false },
});
const assignment = {
  id: "a",
  token: "t",
  responses: ["A", "B", "C"].map((id) => ({ id, text: id })),
  form: FORM,
  draft: null,
  draft_version: 0,
} as unknown as Assignment;
const ranking = reduce(startRanking(["A", "B", "C"], true), { type: "place", id: "C", slot: 1 });

describe("an answer", () => {
  it("says every part the API knows", () => {
    const answer = toAnswer(toDraft(ranking, { ...EMPTY_FIELDS, strength: 1, comment: "ok" }, 1234.6), "t");
    expect(answer).toEqual({
      token: "t",
      tiers: [["C"], ["A"], ["B"]],
      strength: 1,
      ratings: {},
      flags: {},
      choices: {},
      confidence: null,
      not_rankable: false,
      all_bad: false,
      comment: "ok",
      rewrite: null,
      touched: true,
      duration_ms: 1235,
    });
  });

  it("has no tiers when it can't be ranked, and no strength when all are tied", () => {
    const fields = { ...EMPTY_FIELDS, strength: 1 };
    expect(toAnswer(toDraft(ranking, { ...fields, not_rankable: true }, 0), "t")).toMatchObject({
      tiers: [],
      strength: null,
    });
    const tied = reduce(reduce(ranking, { type: "tie", id: "A" }), { type: "tie", id: "B" });
    expect(toAnswer(toDraft(tied, fields, 0), "t")).toMatchObject({
      tiers: [["C", "A", "B"]],
      strength: null,
    });
  });

  it("sends no rewrite made of spaces", () => {
    expect(toAnswer(toDraft(ranking, { ...EMPTY_FIELDS, rewrite: "  \n" }, 0), "t").rewrite).toBeNull();
  });
});

describe("a draft", () => {
  it("comes back as it was left", () => {
    const fields = {
      ...EMPTY_FIELDS,
      strength: 1,
      ratings: { A: { helpful: 3 } },
      flags: { B: ["unsafe"] },
      comment: "half",
      rewrite: "better",
    };
    const back = restore(assignment, JSON.parse(JSON.stringify(toDraft(ranking, fields, 500))));
    expect(back.ranking.tiers).toEqual(ranking.tiers);
    expect(isTouched(back.ranking)).toBe(true);
    expect(back.fields).toEqual(fields);
    expect(back.durationMs).toBe(500);
  });

  it.each([null, undefined, "text", 7, [], { tiers: [["X"]], ratings: { X: { helpful: 1 } }, comment: 3 }])(
    "that is not one (%o) leaves the desk as shown",
    (draft) => {
      const back = restore(assignment, draft);
      expect(back.ranking.tiers).toEqual([["A"], ["B"], ["C"]]);
      expect(isTouched(back.ranking)).toBe(false);
      expect(back.fields).toEqual(EMPTY_FIELDS);
    },
  );
});

describe("what is not answered yet", () => {
  const letters = new Map([
    ["A", "A"],
    ["B", "B"],
    ["C", "C"],
  ]);

  it("is named in words", () => {
    const fields = { ...EMPTY_FIELDS, ratings: { A: { helpful: 1 } } };
    expect(missing(FORM, fields, 3, letters)).toEqual([
      "how much better the best response is",
      "Helpful of B, C",
    ]);
  });

  it("is nothing once all is said, when all are tied, or when it can't be ranked", () => {
    const rated = { A: { helpful: 1 }, B: { helpful: 0 }, C: { helpful: 4 } };
    expect(missing(FORM, { ...EMPTY_FIELDS, strength: 1, ratings: rated }, 3, letters)).toEqual([]);
    expect(missing(FORM, { ...EMPTY_FIELDS, ratings: rated }, 1, letters)).toEqual([]);
    expect(missing(FORM, { ...EMPTY_FIELDS, not_rankable: true }, 3, letters)).toEqual([]);
  });
});
