import { describe, expect, it } from "vitest";
import type { Assignment } from "@/api/types";
import { isTouched, reduce, startRanking } from "../order/rankingReducer";
import { en } from "../texts/answer.en";
import { EMPTY_FIELDS, missing, restore, toAnswer, toDraft } from "./answer";
import { formOf } from "./formFixture";

const FORM = formOf({
  strength: { levels: [{ value: 1, label: "better" }], required: false },
  ratings: [{ name: "helpful", label: "Helpful", min: 0, max: 4, required: false, points: [] }],
  flags: [{ name: "unsafe", label: "Unsafe" }],
  comment: { label: "Comment", required: false },
  rewrite: { label: "A better answer", required: false },
});
const SHOWN = ["A", "B", "C"];
const assignment = {
  id: "a",
  token: "t",
  responses: SHOWN.map((id) => ({ id, text: id })),
  form: FORM,
  draft: null,
  draft_version: 0,
} as unknown as Assignment;
const ranking = reduce(startRanking(SHOWN, { ties: true, atMost: null }), {
  type: "place",
  id: "C",
  slot: 1,
});

describe("an answer", () => {
  it("an answer contains every part that the API requires", () => {
    const answer = toAnswer(
      toDraft(ranking, { ...EMPTY_FIELDS, strength: 1, comment: "ok" }, 1234.6),
      "t",
      FORM,
      SHOWN,
    );
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

  it("has no tiers for unrankable responses, and no strength if all are tied", () => {
    const fields = { ...EMPTY_FIELDS, strength: 1 };
    expect(toAnswer(toDraft(ranking, { ...fields, not_rankable: true }, 0), "t", FORM, SHOWN)).toMatchObject({
      tiers: [],
      strength: null,
    });
    const tied = reduce(reduce(ranking, { type: "tie", id: "A" }), { type: "tie", id: "B" });
    expect(toAnswer(toDraft(tied, fields, 0), "t", FORM, SHOWN)).toMatchObject({
      tiers: [["C", "A", "B"]],
      strength: null,
    });
  });

  it("omits a rewrite that consists only of whitespace", () => {
    expect(
      toAnswer(toDraft(ranking, { ...EMPTY_FIELDS, rewrite: "  \n" }, 0), "t", FORM, SHOWN).rewrite,
    ).toBeNull();
  });
});

describe("a draft", () => {
  it("a draft is restored unchanged", () => {
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
    "an invalid draft (%o) is ignored",
    (draft) => {
      const back = restore(assignment, draft);
      expect(back.ranking.tiers).toEqual([["A"], ["B"], ["C"]]);
      expect(isTouched(back.ranking)).toBe(false);
      expect(back.fields).toEqual(EMPTY_FIELDS);
    },
  );
});

describe("the list of unanswered questions", () => {
  const letters = new Map([
    ["A", "A"],
    ["B", "B"],
    ["C", "C"],
  ]);

  it("names each question in plain words", () => {
    const fields = { ...EMPTY_FIELDS, ratings: { A: { helpful: 1 } } };
    expect(missing(FORM, fields, ranking, letters, en.gaps)).toEqual([
      { field: "strength", text: "how much better the best response is", required: false },
      { field: "ratings.B.helpful", text: "Helpful of B, C", required: false },
    ]);
  });

  it("a complete answer, a tie without a strength, and “not rankable” leave no question unanswered", () => {
    const rated = { A: { helpful: 1 }, B: { helpful: 0 }, C: { helpful: 4 } };
    expect(
      missing(FORM, { ...EMPTY_FIELDS, strength: 1, ratings: rated }, ranking, letters, en.gaps),
    ).toEqual([]);
    const tied = { tiers: [SHOWN], unranked: [] };
    expect(missing(FORM, { ...EMPTY_FIELDS, ratings: rated }, tied, letters, en.gaps)).toEqual([]);
    expect(missing(FORM, { ...EMPTY_FIELDS, not_rankable: true }, ranking, letters, en.gaps)).toEqual([]);
  });

  it("marks the questions that the form requires", () => {
    const form = formOf({
      strength: { levels: [{ value: 1, label: "better" }], required: true },
      ratings: [{ name: "helpful", label: "Helpful", min: 0, max: 4, required: true, points: [] }],
      questions: [
        {
          name: "safety",
          label: "Which are safe?",
          required: true,
          choices: [
            { name: "all", label: "All" },
            { name: "none", label: "None" },
          ],
        },
      ],
      confidence: { levels: [{ value: 1, label: "sure" }], required: true },
      comment: { label: "Why?", required: true },
      rewrite: { label: "Better", required: true },
    });
    const gaps = missing(form, { ...EMPTY_FIELDS, comment: "  ", rewrite: " " }, ranking, letters, en.gaps);
    expect(gaps.map(({ field }) => field)).toEqual([
      "strength",
      "ratings.A.helpful",
      "choices.safety",
      "confidence",
      "comment",
      "rewrite",
    ]);
    expect(gaps.every(({ required }) => required)).toBe(true);
    const whole = {
      ...EMPTY_FIELDS,
      strength: 1,
      ratings: { A: { helpful: 1 }, B: { helpful: 0 }, C: { helpful: 4 } },
      choices: { safety: "all" },
      confidence: 1,
      comment: "so",
      rewrite: "x",
    };
    expect(missing(form, whole, ranking, letters, en.gaps)).toEqual([]);
    expect(missing(form, { ...EMPTY_FIELDS, not_rankable: true }, ranking, letters, en.gaps)).toEqual([]);
  });

  it("the order is reported as incomplete until enough responses are ranked", () => {
    const form = formOf({ top_k: { at_least: 2, at_most: 3 } });
    const one = { tiers: [["A"]], unranked: ["B", "C"] };
    expect(missing(form, EMPTY_FIELDS, one, letters, en.gaps)).toEqual([
      { field: "tiers", text: "1 more to rank", required: true },
    ]);
    expect(missing(form, EMPTY_FIELDS, { tiers: [["A", "B"]], unranked: ["C"] }, letters, en.gaps)).toEqual(
      [],
    );
  });
});

describe("an answer that marks all responses as bad", () => {
  const ask = (order: "asked" | "none" | "tied") =>
    formOf({
      all_bad: { label: "All are bad", order },
      strength: { levels: [{ value: 1, label: "x" }], required: true },
    });
  const send = (order: "asked" | "none" | "tied", fields = {}) =>
    toAnswer(
      toDraft(ranking, { ...EMPTY_FIELDS, strength: 1, all_bad: true, ...fields }, 0),
      "t",
      ask(order),
      SHOWN,
    );

  it.each([
    ["asked", [["C"], ["A"], ["B"]], 1],
    ["none", [], null],
    ["tied", [["A", "B", "C"]], null],
  ] as const)("the order is %s", (order, tiers, strength) => {
    expect(send(order)).toMatchObject({ all_bad: true, tiers, strength });
  });

  it("`all_bad` is not sent if `not_rankable` is set as well", () => {
    expect(send("tied", { not_rankable: true })).toMatchObject({
      all_bad: false,
      not_rankable: true,
      tiers: [],
    });
  });
});

describe("a part of a draft that does not fit the form", () => {
  it("each part that does not fit the form is dropped individually", () => {
    const form = formOf({
      strength: { levels: [{ value: 1, label: "better" }], required: false },
      ratings: [{ name: "helpful", label: "Helpful", min: 0, max: 4, required: false, points: [] }],
      flags: [{ name: "unsafe", label: "Unsafe" }],
      confidence: { levels: [{ value: 1, label: "sure" }], required: false },
    });
    const draft = {
      strength: 7,
      confidence: 1,
      ratings: { A: { helpful: 9, funny: 1 }, B: { helpful: 2 }, X: { helpful: 1 } },
      flags: { A: ["unsafe", "odd"], B: "unsafe" },
      choices: { mood: "good" },
      all_bad: true,
      comment: "not asked",
      rewrite: "not asked",
    };
    expect(restore({ ...assignment, form }, draft).fields).toEqual({
      ...EMPTY_FIELDS,
      confidence: 1,
      ratings: { A: {}, B: { helpful: 2 } },
      flags: { A: ["unsafe"] },
    });
  });
});
