import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RunEvent } from "./feed";
import { type Connection, watchRun } from "./watchRun";

class FakeStream extends EventTarget {
  static all: FakeStream[] = [];
  readyState = 0;
  onopen: (() => void) | null = null;
  onerror: (() => void) | null = null;
  closed = false;
  readonly url: string;
  constructor(url: string) {
    super();
    this.url = url;
    FakeStream.all.push(this);
  }
  close() {
    this.closed = true;
    this.readyState = 2;
  }
  say(type: string, data: unknown) {
    this.dispatchEvent(
      new MessageEvent(type, { data: typeof data === "string" ? data : JSON.stringify(data) }),
    );
  }
  fail(readyState: number) {
    this.readyState = readyState;
    this.onerror?.();
  }
}

const event = (seq: number): RunEvent => ({
  type: "metrics",
  data: { seq, attempt: 1, step: seq, values: { loss: 1 } },
});

describe("watching a run", () => {
  let events: RunEvent[];
  let connections: Connection[];
  let poll: ReturnType<typeof vi.fn<() => Promise<RunEvent[]>>>;
  let stop: () => void;
  const stream = () => FakeStream.all.at(-1) as FakeStream;

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("EventSource", { CLOSED: 2, CONNECTING: 0, OPEN: 1 });
    FakeStream.all = [];
    events = [];
    connections = [];
    poll = vi.fn(async () => []);
    stop = watchRun({
      url: (after) => `/events?after=${after}`,
      poll,
      onEvents: (batch) => events.push(...batch),
      onConnection: (connection) => connections.push(connection),
      open: (url) => new FakeStream(url) as unknown as EventSource,
    });
  });
  afterEach(() => {
    stop();
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("delivers streamed events in batches", async () => {
    stream().onopen?.();
    stream().say("metrics", event(1).data);
    stream().say("metrics", event(2).data);
    stream().say("metrics", "{broken");
    await vi.advanceTimersByTimeAsync(200);
    expect(events).toEqual([event(1), event(2)]);
    expect(connections).toEqual(["connecting", "live"]);
  });

  it("continues after the last event when it opens a new stream", async () => {
    expect(stream().url).toBe("/events?after=0");
    stream().onopen?.();
    stream().say("metrics", event(7).data);
    stream().fail(2);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(stream().url).toBe("/events?after=7");
  });

  it("polls while the stream is refused, and then returns to the stream", async () => {
    poll.mockResolvedValue([event(3)]);
    stream().fail(2);
    await vi.advanceTimersByTimeAsync(4_500);
    expect(connections.at(-1)).toBe("polling");
    expect(poll.mock.calls.length).toBeGreaterThanOrEqual(2);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(FakeStream.all).toHaveLength(2);
    stream().onopen?.();
    const polled = poll.mock.calls.length;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(poll).toHaveBeenCalledTimes(polled);
    expect(connections.at(-1)).toBe("live");
  });

  it("polls if the stream never opens", async () => {
    await vi.advanceTimersByTimeAsync(7_000);
    expect(connections.at(-1)).toBe("polling");
    expect(poll).toHaveBeenCalled();
  });

  it("continues after a failed poll", async () => {
    poll.mockRejectedValueOnce(new Error("down"));
    stream().fail(2);
    await vi.advanceTimersByTimeAsync(4_500);
    expect(poll.mock.calls.length).toBeGreaterThanOrEqual(2);
  });

  it("delivers nothing once it is stopped", async () => {
    stream().onopen?.();
    stop();
    expect(stream().closed).toBe(true);
    stream().say("metrics", event(9).data);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(events).toEqual([]);
    expect(FakeStream.all).toHaveLength(1);
  });
});
