import { describe, expect, it } from "vitest";
import type { TaskDetail } from "@/api/types";
import { isTouched, reduce } from "@/ranking/order/ranking";
import { goldToEdit, saysSomething } from "./gold";

const task = (gold_tiers: string[][] | null): TaskDetail =>
  ({
    gold_tiers,
    responses: ["a", "b", "c"].map((id) => ({ id, text: id, model_name: "" })),
  }) as unknown as TaskDetail;

describe("a known answer in the making", () => {
  it("begins with the order of import, which nobody has judged yet", () => {
    const start = goldToEdit(task(null));
    expect(start.tiers).toEqual([["a"], ["b"], ["c"]]);
    expect(isTouched(start)).toBe(false);
  });

  it("begins with the answer there is, ties and all", () => {
    const start = goldToEdit(task([["c"], ["a", "b"]]));
    expect(start.tiers).toEqual([["c"], ["a", "b"]]);
    expect(isTouched(start)).toBe(true);
  });

  it("does not trust an answer that is not about these responses", () => {
    expect(goldToEdit(task([["x"], ["a", "b"]])).tiers).toEqual([["a"], ["b"], ["c"]]);
    expect(goldToEdit(task([["a"], ["b"]])).tiers).toEqual([["a"], ["b"], ["c"]]);
  });

  it("says nothing while all are equally good", () => {
    const start = goldToEdit(task(null));
    const one = reduce(start, { type: "tie", id: "b" });
    expect(saysSomething(one)).toBe(true);
    expect(saysSomething(reduce(one, { type: "tie", id: "c" }))).toBe(false);
  });
});
