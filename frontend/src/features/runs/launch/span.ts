import { duration, metric } from "@/shared/format";

/** An amount of memory with a suitable unit, such as 512 MB, 1.3 GB or 141 GB. */
export function memory(bytes: number): string {
  if (bytes < 1e9) return `${Math.max(1, Math.round(bytes / 1e6))} MB`;
  const size = bytes / 1e9;
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} GB`;
}

/** A duration, rounded to a precision that an estimate supports. */
export function roughTime(seconds: number): string {
  if (seconds < 10) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 90) return `${Math.round(seconds / 5) * 5} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 36_000 ? duration(Math.round(seconds / 600) * 600) : `${Math.round(seconds / 3600)} h`;
}

/** A rounded number of parameters, such as 1.3M, 600M or 8B. */
export function weightCount(weights: number): string {
  if (weights >= 1e9) return `${metric(Number((weights / 1e9).toPrecision(2)))}B`;
  return weights >= 1e6
    ? `${metric(Number((weights / 1e6).toPrecision(2)))}M`
    : `${Math.round(weights / 1e3)}k`;
}
