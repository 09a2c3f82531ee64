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

  it("sends once after a pause, on top of the version it was given", async () => {
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

  it("keeps every change in the browser before anything is sent", () => {
    const { subject, kept } = saver(async () => 5);
    subject.change("a");
    expect(kept).toEqual([[4, "a"]]);
  });

  it("never has two sends in flight, and the newest draft wins", async () => {
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

  it("tries again with growing pauses while the server can't be reached", async () => {
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

  it("stops at a refusal, and still keeps later changes in the browser", async () => {
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

  it("flushes at once, and is silent after it was stopped", async () => {
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
