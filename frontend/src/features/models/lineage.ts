import type { Model } from "@/api/types";

type Placed = { model: Model; depth: number };

/**
 * Models in lineage order: each model is below its parent, and the newest lineage comes first. If a model's
 * parent is not in the list, the model is at the root. The parent may be archived or on a later page.
 */
export function byDescent(models: readonly Model[]): Placed[] {
  const known = new Set(models.map((model) => model.id));
  const newestFirst = [...models].sort((a, b) => b.created_at.localeCompare(a.created_at));
  const children = new Map<string | null, Model[]>();
  for (const model of newestFirst) {
    const parent = model.parent && known.has(model.parent.id) ? model.parent.id : null;
    children.set(parent, [...(children.get(parent) ?? []), model]);
  }
  const placed: Placed[] = [];
  const visit = (parent: string | null, depth: number) => {
    for (const model of children.get(parent) ?? []) {
      placed.push({ model, depth });
      visit(model.id, depth + 1);
    }
  };
  visit(null, 0);
  return placed;
}
