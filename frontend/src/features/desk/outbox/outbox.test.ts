// @vitest-environment jsdom
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiProblem } from "@/api/problem";
import type { Answer, Assignment } from "@/api/types";
import { EMPTY_FIELDS } from "@/ranking/answer/answer";
import { formOf } from "@/ranking/answer/formFixture";
import { Outbox } from "./outbox";
import { anyUnsent, BrowserStore, type Unsent } from "./store";

const task = (id: string): Assignment => ({
  id,
  token: `token-${id}`,
  expires_at: "2026-01-01T00:00:00Z",
  task: { id: `task-${id}`, prompt: { messages: [] } },
  responses: [],
  form: formOf(),
  draft: null,
  draft_version: 0,
  practice: false,
});
const answer = (id: string, comment = ""): Answer => ({
  ...EMPTY_FIELDS,
  tiers: [["x"], ["y"]],
  touched: true,
  duration_ms: 1_000,
  token: `token-${id}`,
  comment,
});
const problem = (status: number, type = "about:blank") => new ApiProblem(status, "no", "", [], type);

/**
 * A fake server that responds to each request with the next element of `outcomes`. Null means that the server
 * accepts the answer. The last element is repeated.
 */
function server(...outcomes: (ApiProblem | null)[]) {
  const sent: Unsent[] = [];
  const send = vi.fn(async (entry: Unsent) => {
    sent.push(entry);
    const outcome = outcomes.length > 1 ? outcomes.shift() : outcomes[0];
    if (outcome) throw outcome;
  });
  return { sent, send };
}

const open = (send: (entry: Unsent) => Promise<void>, user = "u1") => {
  const outbox = new Outbox({ store: new BrowserStore(user), send });
  boxes.push(outbox);
  return outbox;
};
let boxes: Outbox[] = [];
const settle = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  for (const box of boxes) box.stop();
  boxes = [];
  localStorage.clear();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("an answer", () => {
  it("an answer is stored before it is sent and removed once it is accepted", async () => {
    let arrive: () => void = () => undefined;
    const outbox = open(() => new Promise((resolve) => (arrive = resolve)));
    const taken = vi.fn();
    outbox.whenSettled(taken);
    outbox.add("p", task("a"), "submit", answer("a"));
    expect(anyUnsent()).toBe(true);
    expect(outbox.getState().queued).toHaveLength(1);
    expect(outbox.getState().held).toBeNull();
    await settle();
    arrive();
    await settle();
    expect(anyUnsent()).toBe(false);
    expect(outbox.getState().queued).toEqual([]);
    expect(taken).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ assignmentId: "a", refusal: null }),
    );
  });

  it("an answer is resent unchanged with the same key until it is received", async () => {
    const { sent, send } = server(problem(0), problem(503), problem(429), null);
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    expect(outbox.getState().held?.unreachable).toBe(true);
    await settle(60_000);
    expect(sent).toHaveLength(4);
    expect(new Set(sent.map((entry) => JSON.stringify(entry))).size).toBe(1);
    expect(outbox.getState()).toMatchObject({ queued: [], refused: [], held: null });
  });

  it("the retry delay grows, and a restored connection triggers an immediate retry", async () => {
    const { sent, send } = server(problem(0));
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle(120_000);
    // Retries after 1, 2, 4, 8 and 16 s, and then every 20 s.
    expect(sent.length).toBeGreaterThanOrEqual(8);
    expect(sent.length).toBeLessThanOrEqual(11);
    const before = sent.length;
    outbox.kick();
    await settle();
    expect(sent).toHaveLength(before + 1);
  });

  it("an unsent answer is kept when the page is closed and sent when the page is reopened", async () => {
    const dead = open(server(problem(0)).send);
    const key = dead.add("p", task("a"), "submit", answer("a"));
    await settle();
    dead.stop();
    const { sent, send } = server(null);
    const next = open(send);
    expect(next.getState().queued.map((entry) => entry.key)).toEqual([key]);
    next.kick();
    await settle();
    expect(sent.map((entry) => entry.key)).toEqual([key]);
    expect(anyUnsent()).toBe(false);
  });

  it("an answer waits for a login if the session has expired, and is then sent", async () => {
    const { sent, send } = server(problem(401), null);
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle(300_000);
    expect(sent).toHaveLength(1);
    expect(outbox.getState()).toMatchObject({ loggedOut: true, refused: [] });
    outbox.kick();
    await settle();
    expect(sent).toHaveLength(2);
    expect(outbox.getState()).toMatchObject({ loggedOut: false, queued: [] });
  });

  it("an answer is neither visible to nor sent by another user of the browser", async () => {
    open(server(problem(0)).send, "u1").add("p", task("a"), "submit", answer("a"));
    await settle();
    const { sent, send } = server(null);
    const other = open(send, "u2");
    other.kick();
    await settle();
    expect(sent).toEqual([]);
    expect(other.getState().queued).toEqual([]);
    expect(anyUnsent()).toBe(true);
  });
});

describe("a queue of answers", () => {
  it("answers are sent one at a time, in the order of submission", async () => {
    const { sent, send } = server(problem(0), null);
    const outbox = open(send);
    for (const id of ["a", "b", "c"]) outbox.add("p", task(id), "submit", answer(id));
    await settle();
    expect(outbox.getState().queued.map(({ assignmentId }) => assignmentId)).toEqual(["a", "b", "c"]);
    await settle(30_000);
    expect(sent.map(({ assignmentId }) => assignmentId)).toEqual(["a", "a", "b", "c"]);
  });

  it("a refused answer does not block the queue", async () => {
    const { send } = server(problem(422), null);
    const outbox = open(send);
    const settled = vi.fn();
    outbox.whenSettled((entry) => settled(entry.assignmentId, entry.refusal?.status ?? null));
    outbox.add("p", task("a"), "submit", answer("a"));
    outbox.add("p", task("b"), "submit", answer("b"));
    await settle();
    expect(settled.mock.calls).toEqual([
      ["a", 422],
      ["b", null],
    ]);
    const { queued, refused } = outbox.getState();
    expect(queued).toEqual([]);
    expect(refused).toMatchObject([{ assignmentId: "a", refusal: { status: 422 } }]);
    await settle(60_000);
    expect(send).toHaveBeenCalledTimes(2);
  });
});

describe("a refused answer", () => {
  it("a refused answer is kept across reloads until it is discarded", async () => {
    const outbox = open(server(problem(409, "lease-lost")).send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    const again = open(server(null).send);
    const [refused] = again.getState().refused;
    expect(refused?.refusal).toMatchObject({ status: 409, type: "lease-lost" });
    again.drop(refused?.key ?? "");
    expect(again.getState().refused).toEqual([]);
    expect(anyUnsent()).toBe(false);
  });

  it("a refused answer is sent as a new request when its task is leased again", async () => {
    const { sent, send } = server(problem(409, "lease-lost"), null);
    const outbox = open(send);
    const key = outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    outbox.sendUnder(key, "new");
    await settle();
    expect(sent[1]?.answer.token).toBe("new");
    expect(sent[1]?.key).not.toBe(key);
    expect(anyUnsent()).toBe(false);
  });
});

describe("a revised answer", () => {
  it("a revision is sent after the original if the original is still waiting", async () => {
    const { sent, send } = server(problem(0), null);
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    outbox.add("p", task("a"), "revise", answer("a", "on second thoughts"));
    await settle(5_000);
    expect(sent.map(({ how }) => how)).toEqual(["submit", "submit", "revise"]);
    expect(sent.at(-1)?.answer.comment).toBe("on second thoughts");
  });

  it("a revision replaces the original if the original was refused", async () => {
    const { sent, send } = server(problem(0), problem(422), null);
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    outbox.add("p", { ...task("a"), token: "" }, "revise", { ...answer("a", "better"), token: "" });
    await settle(5_000);
    expect(sent.at(-1)).toMatchObject({ how: "submit", answer: { comment: "better", token: "token-a" } });
    expect(outbox.getState()).toMatchObject({ queued: [], refused: [] });
  });
});

describe("the browser's storage", () => {
  it("keeps the answer but not the displayed task if storage is full", async () => {
    const set = Storage.prototype.setItem;
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(function (this: Storage, name, value) {
      if (value.includes("messages")) throw new DOMException("full", "QuotaExceededError");
      set.call(this, name, value);
    });
    const outbox = open(server(problem(0)).send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    expect(outbox.getState().kept).toBe(true);
    expect(open(server(null).send).getState().queued).toMatchObject([{ assignment: null }]);
  });

  it("reports unavailable storage but still sends the answer", async () => {
    vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
      throw new DOMException("no", "SecurityError");
    });
    const { sent, send } = server(problem(0), null);
    const outbox = open(send);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle();
    expect(outbox.getState().kept).toBe(false);
    await settle(5_000);
    expect(sent).toHaveLength(2);
    expect(outbox.getState()).toMatchObject({ kept: true, queued: [] });
  });

  it("ignores stored entries that are invalid", () => {
    localStorage.setItem("rankloop.outbox.u1.x", "{");
    localStorage.setItem("rankloop.outbox.u1.y", '"a"');
    expect(open(server(null).send).getState().queued).toEqual([]);
  });
});

describe("an outbox open in two tabs", () => {
  const told = () => window.dispatchEvent(new StorageEvent("storage", { key: null }));

  it("shows the answers of both tabs in each tab", async () => {
    const here = open(server(null).send);
    const there = open(server(problem(0)).send);
    there.add("p", task("a"), "submit", answer("a"));
    told();
    expect(here.getState().queued).toHaveLength(1);
    here.kick();
    await settle();
    told();
    expect(there.getState().queued).toEqual([]);
  });

  it("never sends from both tabs at the same time", async () => {
    let busy = true;
    const { sent, send } = server(null);
    const outbox = new Outbox({
      store: new BrowserStore("u1"),
      send,
      alone: async (work) => {
        if (busy) return false;
        await work();
        return true;
      },
    });
    boxes.push(outbox);
    outbox.add("p", task("a"), "submit", answer("a"));
    await settle(3_000);
    expect(sent).toEqual([]);
    busy = false;
    await settle(3_000);
    expect(sent).toHaveLength(1);
  });
});
