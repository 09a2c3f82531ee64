import { describe, expect, it } from "vitest";
import type { Assignment } from "@/api/types";
import { formOf } from "@/ranking/answer/formFixture";
import { claimed, EMPTY, type Flow, type Hand, leaseOf, left, lostAhead, tookBack, toRank } from "./flow";

const task = (id: string, token = "t"): Assignment => ({
  id,
  token,
  expires_at: "2026-01-01T00:00:00Z",
  task: { id: `task-${id}`, prompt: { messages: [] } },
  responses: [],
  form: formOf(),
  draft: null,
  draft_version: 0,
  practice: false,
});
const answer = (id: string): Hand => ({ ...toRank(task(id, "")), how: "revise" });
const ids = ({ desk, ahead, aside }: Flow) => [
  desk?.assignment.id ?? null,
  ahead.map(({ id }) => id),
  aside?.assignment.id ?? null,
];
const claim = (
  flow: Flow,
  leases: Assignment[],
  { answered = [], begun = [] }: { answered?: Assignment[]; begun?: string[] } = {},
) =>
  claimed(flow, {
    leases,
    answered: new Set(answered.map(leaseOf)),
    begun: (id) => begun.includes(id),
  });

const [a, b, c] = [task("a"), task("b"), task("c")];
const atA = claim(EMPTY, [a, b]);

describe("the flow of tasks", () => {
  it("puts the first task on the desk and keeps the next task ready", () => {
    expect(ids(atA)).toEqual(["a", ["b"], null]);
    expect(ids(claim(EMPTY, []))).toEqual([null, [], null]);
  });

  it("shows the next task at once and leases more tasks after the server's reply", () => {
    const atB = left(atA);
    expect(ids(atB)).toEqual(["b", [], null]);
    expect(ids(claim(atB, [b, c], { answered: [a] }))).toEqual(["b", ["c"], null]);
    expect(ids(left(atB))).toEqual([null, [], null]);
  });

  it("never repeats an answered task, regardless of the order of the server's replies", () => {
    const atB = left(atA);
    expect(ids(claim(atB, [a, b], { answered: [a] }))).toEqual(["b", [], null]);
    expect(ids(claim(left(atB), [a, b], { answered: [a, b] }))).toEqual([null, [], null]);
  });

  it("shows an answered task again if it has a new lease", () => {
    expect(ids(claim(left(atA), [b, task("a", "new")], { answered: [a] }))).toEqual(["b", ["a"], null]);
  });

  it("does not change the desk while the lease is the same", () => {
    expect(claim(atA, [a, b]).desk).toBe(atA.desk);
  });

  it("keeps a task on the desk and adopts its new lease token", () => {
    const renewed = claim(atA, [task("a", "new"), b], { begun: ["a"] });
    expect(renewed.desk?.assignment.token).toBe("new");
    expect(ids(renewed)).toEqual(["a", ["b"], null]);
  });

  it("replaces an untouched task with the server's current task", () => {
    expect(ids(claim(atA, [b, c]))).toEqual(["b", ["c"], null]);
    expect(ids(claim(atA, []))).toEqual([null, [], null]);
  });

  it("keeps unfinished work on the desk and reports the loss of its lease", () => {
    const lost = claim(atA, [b, c], { begun: ["a"] });
    expect(ids(lost)).toEqual(["a", ["b", "c"], null]);
    expect(lost.desk?.lost).toBe(true);
    expect(ids(left(lost))).toEqual(["b", ["c"], null]);
  });
});

describe("taking back an answer", () => {
  const back = tookBack(left(atA), answer("a"));

  it("puts the current task aside and returns to it after the revision", () => {
    expect(ids(back)).toEqual(["a", [], "b"]);
    expect(ids(left(back))).toEqual(["b", [], null]);
    expect(left(back).desk?.how).toBe("submit");
  });

  it("the server's reply updates the task that was put aside", () => {
    expect(ids(claim(back, [b, c]))).toEqual(["a", ["c"], "b"]);
    expect(ids(claim(back, [c]))).toEqual(["a", [], "c"]);
    const begun = claim(back, [c], { begun: ["b"] });
    expect(ids(begun)).toEqual(["a", ["c"], "b"]);
    expect(begun.aside?.lost).toBe(true);
  });

  it("an answer can be taken back when the desk is empty", () => {
    const only = tookBack(EMPTY, answer("a"));
    expect(ids(only)).toEqual(["a", [], null]);
    expect(ids(claim(only, [b]))).toEqual(["a", ["b"], null]);
    expect(ids(left(claim(only, [b])))).toEqual(["b", [], null]);
  });

  it("removes the task of a refused answer from the tasks leased in advance", () => {
    const refused = tookBack(left(atA), toRank(a));
    expect(ids(claim(refused, [a, b]))).toEqual(["a", [], "b"]);
  });

  it("keeps the same task aside when a second answer is taken back", () => {
    expect(ids(tookBack(back, answer("z")))).toEqual(["z", [], "b"]);
  });

  it("puts no task aside if the answer belongs to the current task", () => {
    expect(ids(tookBack(atA, { ...toRank(a), refusal: null }))).toEqual(["a", ["b"], null]);
  });
});

it("a task leased in advance is removed when its lease ends", () => {
  expect(ids(lostAhead(atA, leaseOf(b)))).toEqual(["a", [], null]);
  expect(ids(lostAhead(atA, leaseOf(task("b", "other"))))).toEqual(["a", ["b"], null]);
});
