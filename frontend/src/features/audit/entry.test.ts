import { describe, expect, it } from "vitest";
import { actorWords, changesIn, NO_FILTER, toQuery } from "./entry";
import { en } from "./texts/en";

describe("an audit log entry", () => {
  it("lists each changed field with its old and new value", () => {
    expect(changesIn({ before: { overlap: 1, name: "a" }, after: { overlap: 2, name: "a b" } })).toEqual([
      { field: "overlap", before: "1", after: "2" },
      { field: "name", before: "a", after: "a b" },
    ]);
    expect(changesIn({ before: null, after: { form: { ties: true }, note: null } })).toEqual([
      { field: "form", before: null, after: '{"ties":true}' },
      { field: "note", before: null, after: "null" },
    ]);
    expect(changesIn({ before: { x: "y".repeat(500) }, after: null })[0]?.before).toHaveLength(401);
  });

  it.each([
    ["user:0192", "mona", "mona"],
    ["user:0192aabbccdd", "", "user 0192aabb"],
    ["command:ann:import_responses", "", "import_responses (command, ann)"],
    ["task:annotation.tasks.expire_leases", "", "annotation.tasks.expire_leases (background task)"],
    ["anonymous", "", "anonymous user"],
    ["something else", "", "something else"],
  ])("shows the actor %s in readable form", (actor, actor_name, words) => {
    expect(actorWords({ actor, actor_name }, en.kinds)).toBe(words);
  });

  it("a filter by date covers whole days, including the last day", () => {
    const { after, before } = toQuery({ ...NO_FILTER, from: "2026-03-01", until: "2026-03-31" });
    expect(new Date(after as string)).toEqual(new Date(2026, 2, 1));
    expect(new Date(before as string)).toEqual(new Date(2026, 3, 1));
    expect(toQuery(NO_FILTER)).toEqual({});
  });
});
