import type { Estimate, RewardReport } from "@/api/types";

export type Slice = RewardReport["slices"][number];

/** Whether the mean confidence exceeds the upper bound of the accuracy's interval. */
export function tooSure({ accuracy: { high }, confidence }: Pick<Slice, "accuracy" | "confidence">): boolean {
  return high !== null && confidence > high;
}

/** The estimate with its interval, such as "0.71 (0.66 to 0.75)"; a dash if there is no estimate. */
export function withBounds(estimate: Estimate, show: (value: number) => string): string {
  if (estimate.value === null) return "–";
  const bounds = boundsOf(estimate, show);
  return bounds ? `${show(estimate.value)} (${bounds})` : show(estimate.value);
}

/** The interval in words, such as "0.66 to 0.75"; empty if there is no interval. */
export function boundsOf({ low, high }: Estimate, show: (value: number) => string): string {
  return low === null || high === null ? "" : `${show(low)} to ${show(high)}`;
}

/** A number with a real minus sign and the given number of decimals. */
export function decimals(value: number, digits = 3): string {
  const rounded = value.toFixed(digits);
  return Number(rounded) === 0 ? (0).toFixed(digits) : rounded.replace("-", "−");
}

export function signed(value: number, digits = 3): string {
  const shown = decimals(value, digits);
  return Number(value.toFixed(digits)) > 0 ? `+${shown}` : shown;
}

/** A difference of shares, in percentage points. */
export function points(share: number): string {
  return signed(share * 100, 1);
}

/**
 * Whether the whole interval lies above 0 or below 0. If the interval contains 0 or there is no interval, the
 * result is `unclear`.
 */
export function sideOf({ low, high }: Estimate): "above" | "below" | "unclear" {
  if (low !== null && low > 0) return "above";
  return high !== null && high < 0 ? "below" : "unclear";
}

/** Slices in the given order, grouped under a heading for each kind. */
export function grouped(slices: readonly Slice[]): { by: Slice["by"]; of: Slice[] }[] {
  const groups: { by: Slice["by"]; of: Slice[] }[] = [];
  for (const slice of slices) {
    const last = groups.at(-1);
    if (last?.by === slice.by) last.of.push(slice);
    else groups.push({ by: slice.by, of: [slice] });
  }
  return groups;
}
