import type { RunEvent } from "./feed";

export type Connection = "connecting" | "live" | "polling" | "closed";

const EVENT_TYPES = ["metrics", "sample", "progress", "state"] as const;
/** Time limit for opening the stream. If opening takes longer, a proxy is probably blocking the stream. */
const OPEN_WITHIN_MS = 6_000;
const POLL_MS = 2_000;
const TRY_STREAM_AGAIN_MS = 20_000;
/** Events are delivered in batches at this interval, so that a burst of events causes only one render. */
const BATCH_MS = 120;

type Options = {
  /**
   * The URL of the event stream that starts after event number `after`. The browser resumes a dropped stream
   * with Last-Event-ID.
   */
  url: (after: number) => string;
  /** Polls for new events while there is no stream. */
  poll: () => Promise<RunEvent[]>;
  onEvents: (events: RunEvent[]) => void;
  onConnection: (connection: Connection) => void;
  open?: (url: string) => EventSource;
};

/**
 * Follows a run by server-sent events, and by polling while the stream is unavailable. Returns a function
 * that stops all updates.
 */
export function watchRun({
  url,
  poll,
  onEvents,
  onConnection,
  open = (to) => new EventSource(to),
}: Options): () => void {
  let stopped = false;
  let source: EventSource | null = null;
  let waiting: RunEvent[] = [];
  // The `seq` of the last streamed event. Polled events do not change this value, because polling uses
  // several requests, which can end at different events.
  let streamedUpTo = 0;
  const timers = new Map<string, ReturnType<typeof setTimeout>>();

  function later(name: string, delayMs: number, work: () => void): void {
    clearTimeout(timers.get(name));
    timers.set(name, setTimeout(work, delayMs));
  }
  function cancel(name: string): void {
    clearTimeout(timers.get(name));
    timers.delete(name);
  }

  function take(events: RunEvent[]): void {
    if (stopped || events.length === 0) return;
    waiting.push(...events);
    if (timers.has("batch")) return;
    later("batch", BATCH_MS, () => {
      timers.delete("batch");
      const batch = waiting;
      waiting = [];
      onEvents(batch);
    });
  }

  async function keepPolling(): Promise<void> {
    try {
      take(await poll());
    } catch {
      // A failed request is ignored, because the next poll fetches the same events.
    }
    if (!stopped && timers.has("polling")) later("polling", POLL_MS, () => void keepPolling());
  }

  function startPolling(): void {
    if (stopped || timers.has("polling")) return;
    onConnection("polling");
    later("polling", 0, () => void keepPolling());
  }

  function connect(): void {
    if (stopped) return;
    source?.close();
    const stream = open(url(streamedUpTo));
    source = stream;
    later("slow", OPEN_WITHIN_MS, startPolling);

    stream.onopen = () => {
      cancel("slow");
      cancel("polling");
      cancel("again");
      onConnection("live");
    };
    stream.onerror = () => {
      if (stopped) return;
      // CONNECTING: the browser retries automatically. CLOSED: the server refused the request, and the browser does
      // not retry.
      if (stream.readyState === EventSource.CLOSED) {
        startPolling();
        later("again", TRY_STREAM_AGAIN_MS, connect);
      } else {
        onConnection("connecting");
        later("slow", OPEN_WITHIN_MS, startPolling);
      }
    };
    for (const type of EVENT_TYPES) {
      stream.addEventListener(type, (message) => {
        const event = parse(type, (message as MessageEvent<string>).data);
        if (!event) return;
        streamedUpTo = Math.max(streamedUpTo, event.data.seq);
        take([event]);
      });
    }
  }

  onConnection("connecting");
  connect();

  return () => {
    stopped = true;
    source?.close();
    for (const timer of timers.values()) clearTimeout(timer);
    timers.clear();
    onConnection("closed");
  };
}

function parse(type: RunEvent["type"], text: string): RunEvent | null {
  try {
    return { type, data: JSON.parse(text) } as RunEvent;
  } catch {
    return null;
  }
}
