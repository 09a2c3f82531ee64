import { describe, expect, it } from "vitest";
import type { TaskDetail } from "@/api/types";
import { isTouched, reduce } from "@/ranking/order/rankingReducer";
import { goldToEdit, saysSomething } from "./gold";

const task = (gold_tiers: string[][] | null): TaskDetail =>
  ({
    gold_tiers,
    responses: ["a", "b", "c"].map((id) => ({ id, text: id, model_name: "" })),
  }) as unknown as TaskDetail;

describe("editing a known answer", () => {
  it("a new known answer starts unconfirmed and in import order", () => {
    const start = goldToEdit(task(null));
    expect(start.tiers).toEqual([["a"], ["b"], ["c"]]);
    expect(isTouched(start)).toBe(false);
  });

  it("editing starts with the existing known answer, including ties", () => {
    const start = goldToEdit(task([["c"], ["a", "b"]]));
    expect(start.tiers).toEqual([["c"], ["a", "b"]]);
    expect(isTouched(start)).toBe(true);
  });

  it("a known answer that ranks other responses is ignored", () => {
    expect(goldToEdit(task([["x"], ["a", "b"]])).tiers).toEqual([["a"], ["b"], ["c"]]);
    expect(goldToEdit(task([["a"], ["b"]])).tiers).toEqual([["a"], ["b"], ["c"]]);
  });

  it("a known answer is incomplete while all responses are tied", () => {
    const start = goldToEdit(task(null));
    const one = reduce(start, { type: "tie", id: "b" });
    expect(saysSomething(one)).toBe(true);
    expect(saysSomething(reduce(one, { type: "tie", id: "c" }))).toBe(false);
  });
});
