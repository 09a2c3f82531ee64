import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiProblem, unreachable } from "@/api/problem";
import { DraftSaver, type SaveStatus } from "./draftSaver";

const DELAY_MS = 100;

function saver(send: (version: number, draft: string) => Promise<number>) {
  const statuses: SaveStatus["state"][] = [];
  const kept: [number, string][] = [];
  const subject = new DraftSaver<string>({
    version: 4,
    send,
    keep: (version, draft) => kept.push([version, draft]),
    onStatus: (status) => statuses.push(status.state),
    delayMs: DELAY_MS,
  });
  return { subject, statuses, kept };
}

describe("autosave", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it("after a pause in typing, sends one draft that is based on the given version", async () => {
    const send = vi.fn(async (version: number) => version + 1);
    const { subject, statuses } = saver(send);
    subject.change("a");
    subject.change("ab");
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    expect(send.mock.calls).toEqual([[4, "ab"]]);
    expect(statuses.at(-1)).toBe("saved");
    subject.change("abc");
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    expect(send).toHaveBeenLastCalledWith(5, "abc");
  });

  it("keeps every change in the browser before sending anything", () => {
    const { subject, kept } = saver(async () => 5);
    subject.change("a");
    expect(kept).toEqual([[4, "a"]]);
  });

  it("sends one draft at a time and keeps the newest draft", async () => {
    let finish: (version: number) => void = () => undefined;
    const send = vi.fn(
      () =>
        new Promise<number>((resolve) => {
          finish = resolve;
        }),
    );
    const { subject, kept } = saver(send);
    subject.change("one");
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    subject.change("two");
    subject.change("three");
    await vi.advanceTimersByTimeAsync(10 * DELAY_MS);
    expect(send).toHaveBeenCalledTimes(1);
    finish(5);
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    expect(send.mock.calls).toEqual([
      [4, "one"],
      [5, "three"],
    ]);
    expect(kept).toContainEqual([5, "three"]);
  });

  it("retries with growing delays while the server is unreachable", async () => {
    let up = false;
    const send = vi.fn(async (version: number) => {
      if (!up) throw unreachable();
      return version + 1;
    });
    const { subject, statuses } = saver(send);
    subject.change("kept");
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    expect(statuses.at(-1)).toBe("waiting");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(send).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(send).toHaveBeenCalledTimes(2);
    up = true;
    await vi.advanceTimersByTimeAsync(2_000);
    expect(send).toHaveBeenLastCalledWith(4, "kept");
    expect(statuses.at(-1)).toBe("saved");
  });

  it("stops after a refusal but keeps later changes in the browser", async () => {
    const send = vi.fn(async () => {
      throw new ApiProblem(409, "A newer draft exists");
    });
    const { subject, statuses, kept } = saver(send);
    subject.change("mine");
    await vi.advanceTimersByTimeAsync(DELAY_MS);
    expect(statuses.at(-1)).toBe("refused");
    subject.change("mine, longer");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(send).toHaveBeenCalledTimes(1);
    expect(kept.at(-1)).toEqual([4, "mine, longer"]);
  });

  it("sends immediately when flushed and sends nothing once stopped", async () => {
    const send = vi.fn(async (version: number) => version + 1);
    const { subject, statuses } = saver(send);
    subject.change("a");
    await subject.flush();
    expect(send).toHaveBeenCalledTimes(1);
    subject.change("b");
    subject.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(send).toHaveBeenCalledTimes(1);
    expect(statuses.at(-1)).toBe("unsaved");
  });
});
