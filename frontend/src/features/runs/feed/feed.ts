import type { MetricsEvent, SampleEvent } from "@/api/types";

/**
 * The state of a run, built from the run's events. Events come from the stream, from polling, or from both,
 * and can arrive in any order. Events are identified by `seq`; repeated events change nothing.
 */

export type Series = { readonly steps: readonly number[]; readonly values: readonly number[] };

export type Progress = { phase: string; step: number; total_steps: number; eta_seconds: number | null };

export type RunEvent =
  | { type: "metrics"; data: MetricsEvent }
  | { type: "sample"; data: SampleEvent }
  | { type: "progress"; data: Progress & { seq: number; attempt: number } }
  /**
   * A change in the run's state. The event causes the page to fetch the run again. The new state is not part
   * of the event, because a replayed event would contain an outdated state.
   */
  | { type: "state"; data: { seq: number; attempt: number } };

export type RunFeed = {
  readonly series: Readonly<Record<string, Series>>;
  readonly samples: readonly SampleEvent[];
  readonly progress: Progress | null;
  readonly stateChanges: number;
  /** The highest `seq` of all metrics events so far. Polling continues with the next event. */
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

/**
 * Adds a batch of events to the feed. A page that reconnects can receive thousands of events. Therefore,
 * arrays are copied only once per batch instead of once per event.
 */
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
 * Sets a metric's value at a step. A resumed run returns to its last checkpoint and repeats some steps. The
 * new value of a repeated step replaces the old value. Steps that have not been repeated yet keep their old
 * values.
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
