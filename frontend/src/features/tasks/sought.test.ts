import { describe, expect, it } from "vitest";
import { asList, conditions, rankingsAsked, type Sought, soughtFrom, tasksAsked } from "./sought";

const EVERYTHING: Sought = {
  says: "refund",
  state: "done",
  kind: "gold",
  round: 0,
  model: "m",
  under: 60,
  has: "comment",
  annotator: "ben",
  from: "2026-01-31",
  until: "2026-12-31",
};

describe("what is sought", () => {
  it("is read from an address and says the same in it", () => {
    expect(soughtFrom(EVERYTHING)).toEqual(EVERYTHING);
    expect(soughtFrom({ ...EVERYTHING, round: "0", under: "60" })).toEqual(EVERYTHING);
    expect(soughtFrom({ says: 404 })).toEqual({ says: "404" });
  });

  it("leaves out what an address can't mean", () => {
    const nonsense = {
      list: "people",
      says: "   ",
      state: "lost",
      kind: ["gold"],
      round: -1,
      model: "",
      under: 101,
      has: null,
      annotator: {},
      from: "yesterday",
      until: 5,
      extra: "x",
    };
    expect(soughtFrom(nonsense)).toEqual({});
    expect(soughtFrom({ round: "1.5", under: "" })).toEqual({});
  });

  it("becomes what the API asks for, days as whole days", () => {
    expect(tasksAsked(EVERYTHING)).toEqual({
      says: "refund",
      state: "done",
      kind: "gold",
      round: 0,
      model: "m",
      agreement_below: 0.6,
      has: "comment",
      annotator: "ben",
      after: "2026-01-31T00:00:00Z",
      before: "2027-01-01T00:00:00.000Z",
    });
    expect([tasksAsked({}), rankingsAsked({})]).toEqual([{}, {}]);
  });

  it("keeps what both lists know when the other is listed", () => {
    const rankings = asList(EVERYTHING, "rankings");
    expect(rankings.state).toBeUndefined();
    expect(rankingsAsked(rankings)).toMatchObject({ task_kind: "gold", says: "refund" });
    expect(rankingsAsked(rankings)).not.toHaveProperty("state");
    expect(asList(rankings, "tasks").list).toBeUndefined();
    expect([conditions({ list: "rankings" }), conditions(EVERYTHING)]).toEqual([0, 10]);
  });
});
