import { latest, type RunFeed, type Series } from "./feed";

/** The expected reward of the best of n answers as a function of the bound on the KL divergence. */
export type BestOf = { readonly reward: Series; readonly gold: Series | null; readonly most: number };

/** The best-of-n curve of a rejection sampling run's newest round; null before the first selection. */
export function bestOf({ series }: Pick<RunFeed, "series">): BestOf | null {
  const kl: number[] = [];
  const reward: number[] = [];
  const gold: number[] = [];
  for (let n = 1; ; n += 1) {
    const [x, y, known] = ["kl_best_of", "best_of", "gold_best_of"].map((name) =>
      latest(series[`${name}/${n}`]),
    );
    if (x === undefined || y === undefined) break;
    kl.push(x);
    reward.push(y);
    if (known !== undefined) gold.push(known);
  }
  if (kl.length === 0) return null;
  return {
    reward: { steps: kl, values: reward },
    gold: gold.length === kl.length ? { steps: kl, values: gold } : null,
    most: kl.length,
  };
}
