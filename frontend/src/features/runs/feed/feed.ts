import type { MetricsEvent, SampleEvent } from "@/api/types";

/**
 * What a run has said so far, built from its events whatever way they came (stream, polling, or both at once) and however
 * often. An event is known by its `seq`; one seen before changes nothing.
 */

export type Series = { readonly steps: readonly number[]; readonly values: readonly number[] };

export type Progress = { phase: string; step: number; total_steps: number; eta_seconds: number | null };

export type RunEvent =
  | { type: "metrics"; data: MetricsEvent }
  | { type: "sample"; data: SampleEvent }
  | { type: "progress"; data: Progress & { seq: number; attempt: number } }
  /** The run changed state. Its document is asked for anew: an event replayed later would show an older one. */
  | { type: "state"; data: { seq: number; attempt: number } };

export type RunFeed = {
  readonly series: Readonly<Record<string, Series>>;
  readonly samples: readonly SampleEvent[];
  readonly progress: Progress | null;
  readonly stateChanges: number;
  /** Highest `seq` of a metrics event: where polling goes on from. */
  readonly lastMetricsSeq: number;
  readonly seen: ReadonlySet<number>;
  readonly attempt: number;
};

export const EMPTY_FEED: RunFeed = {
  series: {},
  samples: [],
  progress: null,
  stateChanges: 0,
  lastMetricsSeq: 0,
  seen: new Set(),
  attempt: 0,
};

/** Folds a batch into the feed. Arrays are copied once a batch, not once an event: a resumed page may bring thousands. */
export function applyEvents(feed: RunFeed, events: readonly RunEvent[]): RunFeed {
  if (events.length === 0) return feed;
  const seen = new Set(feed.seen);
  const series = new Map(
    Object.entries(feed.series).map(([name, { steps, values }]) => [
      name,
      { steps: [...steps], values: [...values] },
    ]),
  );
  let { samples, progress, stateChanges, lastMetricsSeq, attempt } = feed;

  for (const event of events) {
    if (seen.has(event.data.seq)) continue;
    seen.add(event.data.seq);
    attempt = Math.max(attempt, event.data.attempt);
    switch (event.type) {
      case "metrics": {
        const { step, values } = event.data;
        lastMetricsSeq = Math.max(lastMetricsSeq, event.data.seq);
        for (const [name, value] of Object.entries(values)) {
          const points = series.get(name) ?? { steps: [], values: [] };
          series.set(name, points);
          put(points, step, value);
        }
        break;
      }
      case "sample":
        samples = [...samples, event.data];
        break;
      case "progress":
        progress = event.data;
        break;
      case "state":
        stateChanges += 1;
        break;
    }
  }
  return {
    series: Object.fromEntries(series),
    samples,
    progress,
    stateChanges,
    lastMetricsSeq,
    attempt,
    seen,
  };
}

/**
 * Puts a value at its step. A run that was resumed goes back to its last checkpoint and says some steps again: the later
 * word replaces the earlier one, and steps of the abandoned stretch beyond it are dropped as they are overtaken.
 */
function put(points: { steps: number[]; values: number[] }, step: number, value: number): void {
  let at = points.steps.length;
  while (at > 0 && (points.steps[at - 1] ?? 0) >= step) at--;
  const replaces = points.steps[at] === step;
  points.steps.splice(at, replaces ? 1 : 0, step);
  points.values.splice(at, replaces ? 1 : 0, value);
}

export function latest(series: Series | undefined): number | undefined {
  return series?.values.at(-1);
}
