import { parse } from "valibot";
import { describe, expect, it } from "vitest";
import { asList, conditions, rankingsParams, type TasksSearch, tasksParams, tasksSearch } from "./search";

const EVERYTHING: TasksSearch = {
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

describe("search parameters of the task and ranking lists", () => {
  it("search parameters survive a round trip through the URL", () => {
    expect(parse(tasksSearch, EVERYTHING)).toEqual(EVERYTHING);
    expect(parse(tasksSearch, { ...EVERYTHING, round: "0", under: "60" })).toEqual(EVERYTHING);
    expect(parse(tasksSearch, { says: 404 })).toEqual({ says: "404" });
  });

  it("invalid values are ignored", () => {
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
    expect(parse(tasksSearch, nonsense)).toEqual({});
    expect(parse(tasksSearch, { round: "1.5", under: "" })).toEqual({});
  });

  it("search parameters become API parameters, with dates as whole days", () => {
    expect(tasksParams(EVERYTHING)).toEqual({
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
    expect([tasksParams({}), rankingsParams({})]).toEqual([{}, {}]);
  });

  it("switching lists keeps the filters that both lists support", () => {
    const rankings = asList(EVERYTHING, "rankings");
    expect(rankings.state).toBeUndefined();
    expect(rankingsParams(rankings)).toMatchObject({ task_kind: "gold", says: "refund" });
    expect(rankingsParams(rankings)).not.toHaveProperty("state");
    expect(asList(rankings, "tasks").list).toBeUndefined();
    expect([conditions({ list: "rankings" }), conditions(EVERYTHING)]).toEqual([0, 10]);
  });
});
