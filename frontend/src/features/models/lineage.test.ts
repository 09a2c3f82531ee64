import { describe, expect, it } from "vitest";
import type { Model } from "@/api/types";
import { byDescent } from "./lineage";

const model = (id: string, parent: string | null, day: number) =>
  ({ id, name: id, parent: parent && { id: parent, name: parent }, created_at: `2026-01-0${day}` }) as Model;

describe("models in lineage order", () => {
  it("each model is below its parent, with the newest lineage first", () => {
    const placed = byDescent([
      model("sft", null, 1),
      model("ppo", "sft", 3),
      model("rs", "sft", 2),
      model("other", null, 4),
    ]);
    expect(placed.map(({ model: { id }, depth }) => [id, depth])).toEqual([
      ["other", 0],
      ["sft", 0],
      ["ppo", 1],
      ["rs", 1],
    ]);
  });

  it("a model whose parent is not listed is included", () => {
    expect(byDescent([model("orphan", "gone", 1)])).toHaveLength(1);
  });
});
