import type { AnnotatorQuality, Estimate, Quality } from "@/api/types";
import { percent } from "@/shared/format";

/**
 * An annotator whose adjusted p-value is below `OUTLIER_P` is marked as an outlier. The probability that a
 * project has any false positive is therefore at most 1 %.
 */
const OUTLIER_P = 0.01;

export type Reading = "unknown" | "chance" | "low" | "tentative" | "reliable";

/**
 * Krippendorff's thresholds: α of at least 0.80 supports firm conclusions, and α of at least 0.667
 * supports tentative conclusions.
 */
const RELIABLE = 0.8;
const TENTATIVE = 2 / 3;

/**
 * Interprets an α by the lower bound of its confidence interval, so that the text does not claim more than
 * the data support. If there is no interval, the function uses α itself.
 */
export function readAlpha({ value, low }: Estimate): Reading {
  if (value === null) return "unknown";
  const sure = low ?? value;
  if (sure <= 0) return "chance";
  if (sure >= RELIABLE) return "reliable";
  return sure >= TENTATIVE ? "tentative" : "low";
}

export function decimals(value: number): string {
  return value.toFixed(2);
}

/** The estimate with its interval, such as "0.71 (0.66 to 0.75)"; a dash if there is no estimate. */
export function interval(estimate: Estimate, show: (value: number) => string): string {
  if (estimate.value === null) return "–";
  if (estimate.low === null || estimate.high === null) return show(estimate.value);
  return `${show(estimate.value)} (${show(estimate.low)} to ${show(estimate.high)})`;
}

/** Whether a share's confidence interval excludes ½. */
export function leans({ low, high }: Estimate): boolean {
  return low !== null && high !== null && (low > 0.5 || high < 0.5);
}

/**
 * Whether the annotator leaves the displayed order unchanged more often than expected by chance. The share of
 * unchanged rankings must be more than 1.5 times the expected share. The share must also exceed the expected
 * share by more than 0.05.
 */
export function straightLines({ as_shown, as_shown_by_chance }: AnnotatorQuality): boolean {
  if (as_shown === null || as_shown_by_chance === null) return false;
  return as_shown > as_shown_by_chance * 1.5 && as_shown > as_shown_by_chance + 0.05;
}

export function unlikeTheOthers({ outlier_p_adjusted }: AnnotatorQuality): boolean {
  return outlier_p_adjusted !== null && outlier_p_adjusted < OUTLIER_P;
}

export const COLUMNS = {
  username: (person) => person.username,
  rankings: (person) => person.rankings,
  median_seconds: (person) => person.median_seconds,
  gold: (person) => person.gold_accuracy.value,
  agreement: (person) => person.agreement,
  reliability: (person) => person.reliability.value,
  first_shown: (person) => person.first_shown_wins.value,
  longer: (person) => person.longer_wins.value,
  as_shown: (person) => person.as_shown,
  outlier: (person) => person.outlier_p_adjusted,
} satisfies Record<string, (person: AnnotatorQuality) => string | number | null>;

export type Column = keyof typeof COLUMNS;
export type Order = { by: Column; up: boolean };

/**
 * The rows sorted by a column. Rows without a value come last in both directions; equal rows keep their
 * order.
 */
export function sorted(people: readonly AnnotatorQuality[], { by, up }: Order): AnnotatorQuality[] {
  const of: (person: AnnotatorQuality) => string | number | null = COLUMNS[by];
  return [...people].sort((a, b) => {
    const [one, other] = [of(a), of(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    const difference = typeof one === "string" ? one.localeCompare(String(other)) : one - Number(other);
    return up ? difference : -difference;
  });
}

/**
 * A click on the sorted column reverses the order. A click on another column sorts names in ascending order
 * and figures in descending order.
 */
export function nextOrder(order: Order, by: Column): Order {
  return order.by === by ? { by, up: !order.up } : { by, up: by === "username" };
}

export type Cell = { agreement: number; n_pairs: number };

/**
 * Agreement for each pair of annotators, in both directions. The annotators are in order of first appearance.
 */
export function pairMatrix(between: Quality["between"]): {
  people: string[];
  cell: (one: string, other: string) => Cell | undefined;
} {
  const people = [...new Set(between.flatMap(({ one, other }) => [one, other]))];
  const cells = new Map<string, Cell>();
  for (const { one, other, agreement, n_pairs } of between) {
    cells.set(JSON.stringify([one, other]), { agreement, n_pairs });
    cells.set(JSON.stringify([other, one]), { agreement, n_pairs });
  }
  return { people, cell: (one, other) => cells.get(JSON.stringify([one, other])) };
}

/**
 * Returns a function that converts a cell's share to a colour intensity from 0 to 1. The intensity is scaled to
 * the range of the given shares, so that small differences are visible.
 */
export function washOf(shares: readonly number[]): (share: number) => number {
  const low = Math.min(...shares);
  const high = Math.max(...shares);
  return (share) => (high > low ? (share - low) / (high - low) : 0.5);
}

export const share = (estimate: Estimate): string =>
  estimate.value === null ? "–" : percent(estimate.value);
