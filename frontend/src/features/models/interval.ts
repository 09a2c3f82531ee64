/**
 * The positions of intervals on a common scale, as fractions of the scale's width. The scale always includes
 * 0.
 */

export type Span = { low: number; high: number; middle: number };

export function scaleOf(spans: readonly Span[]): { low: number; high: number } {
  const low = Math.min(0, ...spans.map((span) => span.low));
  const high = Math.max(0, ...spans.map((span) => span.high));
  const margin = (high - low || 1) * 0.05;
  return { low: low - margin, high: high + margin };
}

export function placed(span: Span, scale: { low: number; high: number }): Span & { zero: number } {
  const share = (value: number) => (value - scale.low) / (scale.high - scale.low);
  return { low: share(span.low), middle: share(span.middle), high: share(span.high), zero: share(0) };
}
