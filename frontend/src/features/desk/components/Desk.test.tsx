import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { problemFrom } from "@/api/problem";
import type { Answer, Assignment, Project } from "@/api/types";
import { EMPTY_FIELDS } from "../answer";
import { type Hand, toRank } from "../flow/flow";
import { formOf } from "../formFixture";
import { Desk } from "./Desk";

const form = formOf({
  flags: [{ name: "unsafe", label: "Unsafe" }],
  comment: { label: "Comment", required: false },
});
const assignment = (overrides: Partial<Assignment> = {}): Assignment => ({
  id: "a1",
  token: "t1",
  expires_at: new Date(Date.now() + 900_000).toISOString(),
  task: { id: "k", prompt: { messages: [{ role: "user", content: "Why?" }] } },
  responses: ["x", "y", "z"].map((id) => ({ id, text: `text of ${id}` })),
  form,
  draft: null,
  draft_version: 0,
  practice: false,
  ...overrides,
});
const project = { slug: "p", guidelines: "Be fair.", skip_ways: ["others", "me"] } as Project;

type Sent = { path: string; body: Record<string, unknown> };

/** The API as far as a desk sees it; heartbeats and drafts are answered as `refusals` says, or well. */
function server(refusals: Record<string, number> = {}) {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname;
    sent.push({ path, body: await request.json() });
    const status = refusals[path.split("/").at(-1) ?? ""] ?? 200;
    if (status === 0) throw new TypeError("Failed to fetch");
    const expires_at = new Date(Date.now() + 900_000).toISOString();
    const body = status < 300 ? { version: 1, expires_at } : { detail: "The lease ran out." };
    return new Response(JSON.stringify(body), {
      status,
      headers: { "Content-Type": "application/json" },
    });
  });
  return { sent };
}

function open(task = assignment(), of: Project = project, parts: Partial<Hand> = {}) {
  const given: Answer[] = [];
  const props = {
    onGive: (answer: Answer) => void given.push(answer),
    onSkipped: vi.fn(),
    onTakeBack: vi.fn(),
    onPutDown: vi.fn(),
    onReload: vi.fn(),
  };
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <Desk project={of} hand={{ ...toRank(task), ...parts }} lastDone="" {...props} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { ...props, given };
}

const key = (name: string, code = "") =>
  fireEvent.keyDown(document.activeElement ?? document.body, { key: name, code });
const cards = () =>
  screen.getAllByTestId("response-card").map((card) => `${card.dataset.responseId}${card.dataset.rank}`);

beforeEach(() => {
  HTMLDialogElement.prototype.showModal ??= function showModal(this: HTMLDialogElement) {
    this.open = true;
  };
  HTMLDialogElement.prototype.close ??= function close(this: HTMLDialogElement) {
    this.open = false;
  };
});
afterEach(() => {
  cleanup();
  localStorage.clear();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("skipping", () => {
  const skipWith = async (ways: Project["skip_ways"], choose: string | null) => {
    const { sent } = server();
    const { onSkipped } = open(assignment(), { ...project, skip_ways: ways });
    key("s");
    fireEvent.change(await screen.findByLabelText("Reason"), { target: { value: "not my language" } });
    if (choose) fireEvent.click(screen.getByLabelText(choose));
    fireEvent.click(screen.getByRole("button", { name: "Skip task", hidden: true }));
    return { sent, onSkipped };
  };

  it("goes where the project says unless told otherwise", async () => {
    const { sent, onSkipped } = await skipWith(["others", "me"], null);
    await waitFor(() => expect(onSkipped).toHaveBeenCalledOnce());
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toEqual({
      token: "t1",
      reason: "not my language",
      way: "others",
    });
  });

  it("can be put off where the project allows it", async () => {
    const { sent, onSkipped } = await skipWith(["others", "me"], "Show it to me later");
    await waitFor(() => expect(onSkipped).toHaveBeenCalled());
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toMatchObject({ way: "me" });
  });

  it("offers no choice where there is none, and says what will become of the task", async () => {
    server();
    open(assignment(), { ...project, skip_ways: ["drop"] });
    key("s");
    expect(await screen.findByText(/Nobody will be asked to rank it any more/)).toBeTruthy();
    expect(screen.queryByRole("radio", { hidden: true })).toBeNull();
  });
});

describe("the desk", () => {
  it("shows the responses in the order served, without their models", () => {
    server();
    open();
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });

  it("ranks by keyboard and submits once", async () => {
    server();
    const { given } = open();
    key("j");
    key("j");
    key("1", "Digit1");
    key("ArrowDown");
    key("ArrowDown");
    key("=");
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(screen.getByTestId("announcer").textContent).toBe("Response B is 2 of 2, tied with A.");
    expect(screen.getAllByTestId("rank-slot").map((slot) => slot.dataset.rank)).toEqual(["1", "2"]);
    key("Enter");
    expect(given).toHaveLength(1);
    expect(given[0]).toMatchObject({ tiers: [["z"], ["x", "y"]], touched: true, token: "t1" });
  });

  it("asks before it takes an untouched order", async () => {
    server();
    const { given } = open();
    key("Enter");
    expect(screen.getByText(/Submit it as your answer/)).toBeTruthy();
    expect(given).toHaveLength(0);
    fireEvent.click(screen.getByRole("button", { name: "Submit this order", hidden: true }));
    expect(given[0]).toMatchObject({ tiers: [["x"], ["y"], ["z"]], touched: false });
  });

  it("says plainly when the task is no longer theirs, and keeps the work", async () => {
    vi.useFakeTimers();
    server({ heartbeat: 409 });
    const { given, onPutDown } = open();
    key("3", "Digit3");
    await act(() => vi.advanceTimersByTimeAsync(61_000));
    expect(screen.getByText("This task is no longer yours")).toBeTruthy();
    expect(screen.getByText("The lease ran out.")).toBeTruthy();
    key("Enter");
    expect(given).toEqual([]);
    expect(JSON.parse(localStorage.getItem("rankloop.answer.a1") ?? "{}").draft.tiers).toEqual([
      ["y"],
      ["z"],
      ["x"],
    ]);
    fireEvent.click(screen.getByRole("button", { name: "Get a task" }));
    expect(onPutDown).toHaveBeenCalledOnce();
  });

  it("says until when a task is kept while the server can't be reached", async () => {
    vi.useFakeTimers();
    server({ heartbeat: 0 });
    const { given } = open();
    await act(() => vi.advanceTimersByTimeAsync(61_000));
    expect(screen.getByText(/This task is kept for you until/)).toBeTruthy();
    await act(() => vi.advanceTimersByTimeAsync(900_000));
    expect(screen.getByText(/Your hold on this task ended at/)).toBeTruthy();
    key("3", "Digit3");
    key("Enter");
    expect(given).toHaveLength(1);
  });

  it("keeps no draft of what was given", async () => {
    vi.useFakeTimers();
    const { sent } = server();
    open();
    key("3", "Digit3");
    key("Enter");
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    expect(sent.filter(({ path }) => path.endsWith("/draft"))).toEqual([]);
    expect(localStorage.getItem("rankloop.answer.a1")).toBeNull();
  });

  it("comes back to the work of a closed tab that the server never saw", () => {
    server();
    open();
    key("3", "Digit3");
    cleanup();
    open();
    expect(cards()).toEqual(["y1", "z2", "x3"]);
  });

  it("prefers the server's draft when another device went on", () => {
    server();
    open();
    key("3", "Digit3");
    cleanup();
    open(assignment({ draft: { tiers: [["z"], ["y"], ["x"]], touched: true }, draft_version: 5 }));
    expect(cards()).toEqual(["z1", "y2", "x3"]);
  });

  it("types digits into the comment, not into the ranking", () => {
    server();
    open();
    const comment = screen.getByLabelText("Comment");
    comment.focus();
    key("3", "Digit3");
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });
});

const SCALE = { name: "helpful", label: "Helpful", min: 0, max: 4, required: true, points: [] };
const PAIR = formOf({
  responses: { min: 2, max: 2 },
  tie_label: "about the same",
  strength: {
    levels: [
      { value: 1, label: "slightly better" },
      { value: 2, label: "much better" },
    ],
    required: true,
  },
});
const pairTask = (parts = {}) =>
  assignment({
    responses: ["x", "y"].map((id) => ({ id, text: `text of ${id}` })),
    form: { ...PAIR, ...parts },
  });

describe("the desk of a pair", () => {
  it("takes the degree by one key, without moving the responses", async () => {
    server();
    const { given } = open(pairTask());
    expect(cards()).toEqual(["x0", "y0"]);
    key("5", "Digit5");
    expect(cards()).toEqual(["x2", "y1"]);
    expect(screen.getByTestId("announcer").textContent).toBe("B is much better.");
    key("ArrowLeft");
    expect(screen.getByTestId("announcer").textContent).toBe("B is slightly better.");
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["y"], ["x"]], strength: 1, touched: true });
  });

  it("is no answer until a position is chosen", () => {
    server();
    const { given } = open(pairTask());
    key("Enter");
    expect(given).toHaveLength(0);
    expect(screen.getByTestId("announcer").textContent).toBe(
      "Not submitted yet. Not answered: which response is better.",
    );
    expect(screen.getByTestId("pair-scale").contains(document.activeElement)).toBe(true);
  });

  it("sends that both are bad as the tie it counts as", async () => {
    server();
    const { given } = open(pairTask({ strength: null, all_bad: { label: "Both are bad", order: "tied" } }));
    fireEvent.click(screen.getByLabelText("Both are bad"));
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["x", "y"]], all_bad: true, strength: null });
  });
});

describe("an answer that comes back to the desk", () => {
  const answer = { ...EMPTY_FIELDS, tiers: [["z"], ["x", "y"]], touched: true, duration_ms: 5_000 };

  it("is there to be changed, and stands until it is given anew", () => {
    const { sent } = server();
    const { given, onPutDown } = open(assignment({ token: "" }), project, { how: "revise", answer });
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(screen.getByText("You are changing your last answer")).toBeTruthy();
    key("s");
    expect(screen.queryByText("Skip this task")).toBeNull();
    key("=");
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["z"], ["y"], ["x"]] });
    fireEvent.click(screen.getByRole("button", { name: "Leave it as it was" }));
    expect(onPutDown).toHaveBeenCalledOnce();
    expect(sent).toEqual([]);
  });

  it("says why it was not taken", () => {
    server();
    open(assignment(), project, {
      answer,
      refusal: problemFrom(422, {
        detail: "It doesn't fit.",
        errors: [{ field: "tiers", reason: "Not ranked: y" }],
      }),
    });
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(screen.getByText("This answer was not taken")).toBeTruthy();
    expect(screen.getByText("Not ranked: y")).toBeTruthy();
  });
});

describe("a pause", () => {
  it("hides the task, stops the clock and goes on where it was", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    server();
    const { given } = open();
    key("3", "Digit3");
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    key("p");
    expect(screen.getByText(/Your time is not counted/)).toBeTruthy();
    expect(document.querySelector("[data-paused=true]")).toBeTruthy();
    key("1", "Digit1");
    await act(() => vi.advanceTimersByTimeAsync(600_000));
    fireEvent.click(screen.getByRole("button", { name: "Go on ranking", hidden: true }));
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["y"], ["z"], ["x"]] });
    expect(given[0]?.duration_ms).toBeGreaterThanOrEqual(15_000);
    expect(given[0]?.duration_ms).toBeLessThan(17_000);
  });

  it("keeps the lease of a page nobody looks at, for an hour", async () => {
    vi.useFakeTimers();
    const { sent } = server();
    open();
    key("p");
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    const beats = () => sent.filter(({ path }) => path.endsWith("/heartbeat")).length;
    await act(() => vi.advanceTimersByTimeAsync(30 * 60_000));
    const half = beats();
    expect(half).toBeGreaterThanOrEqual(29);
    await act(() => vi.advanceTimersByTimeAsync(120 * 60_000));
    expect(beats()).toBeLessThanOrEqual(2 * half + 2);
  });
});

describe("reporting a problem", () => {
  it("says what is wrong and leaves the task in hand", async () => {
    const { sent } = server();
    open();
    key("i");
    const button = await screen.findByRole<HTMLButtonElement>("button", {
      name: "Send report",
      hidden: true,
    });
    expect(button.disabled).toBe(true);
    fireEvent.click(screen.getByLabelText("Something else"));
    expect(button.disabled).toBe(true);
    fireEvent.change(screen.getByLabelText("In your words"), { target: { value: "The table is cut off." } });
    fireEvent.click(button);
    await screen.findByText("Reported to the managers");
    expect(sent.find(({ path }) => path.endsWith("/problems"))?.body).toEqual({
      kind: "other",
      text: "The table is cut off.",
    });
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });
});

describe("questions of the form", () => {
  it("keep the desk from submitting while a required one is open, and take the focus", async () => {
    server();
    const { given } = open(
      assignment({
        form: formOf({
          ratings: [SCALE],
          questions: [
            {
              name: "safety",
              label: "Which are safe?",
              required: true,
              choices: [
                { name: "all", label: "All of them" },
                { name: "none", label: "None" },
              ],
            },
          ],
          comment: { label: "Why?", required: true },
        }),
      }),
    );
    key("2", "Digit2");
    key("Enter");
    key("Enter");
    expect(given).toHaveLength(0);
    expect(screen.getByText("Helpful of A, B, C")).toBeTruthy();
    // The focus is in the first open scale: a digit typed there is a rating, not a rank.
    const before = cards();
    key("3", "Digit3");
    expect(cards()).toEqual(before);
    expect(screen.getByText("Helpful of B, C")).toBeTruthy();
    for (const response of ["y", "z"]) {
      const scale = document.querySelector(`[data-field="ratings.${response}.helpful"] input`);
      fireEvent.click(scale as Element);
    }
    fireEvent.click(screen.getByLabelText("All of them"));
    fireEvent.change(screen.getByLabelText(/Why\?/), { target: { value: "because" } });
    fireEvent.click(screen.getByRole("button", { name: "Submit ranking" }));
    expect(given[0]).toMatchObject({
      ratings: { x: { helpful: 3 }, y: { helpful: 0 }, z: { helpful: 0 } },
      choices: { safety: "all" },
      comment: "because",
    });
  });

  it("are gone through by Enter, from card to card", () => {
    server();
    open(pairTask({ ratings: [SCALE], strength: null }));
    key("1", "Digit1");
    key("Enter");
    key("4", "Digit4");
    key("Enter");
    // In the other card now, and in its scale: not on the card.
    expect(document.activeElement?.matches('[data-field="ratings.y.helpful"] input')).toBe(true);
  });

  it("are taken back with Delete, or by a second click", () => {
    server();
    open(assignment({ form: formOf({ ratings: [{ ...SCALE, required: false }] }) }));
    const scale = () => [
      ...document.querySelectorAll<HTMLInputElement>('[data-field="ratings.x.helpful"] input'),
    ];
    fireEvent.click(scale()[2] as Element);
    expect(scale()[2]?.checked).toBe(true);
    fireEvent.keyDown(scale()[2] as Element, { key: "Delete" });
    expect(scale().some(({ checked }) => checked)).toBe(false);
    fireEvent.click(scale()[1] as Element);
    fireEvent.click(scale()[1] as Element);
    expect(scale().some(({ checked }) => checked)).toBe(false);
  });

  it("offer the best response to start a rewrite from", () => {
    server();
    open(assignment({ form: formOf({ rewrite: { label: "A better answer", required: false } }) }));
    key("2", "Digit2");
    fireEvent.click(screen.getByRole("button", { name: "Start from the best response" }));
    expect(screen.getByLabelText<HTMLTextAreaElement>("A better answer").value).toBe("text of y");
  });
});

describe("a rewrite", () => {
  const form = formOf({ rewrite: { label: "A better answer", required: false } });

  it("is written beside the original, by keyboard alone", async () => {
    server();
    const { given } = open(assignment({ form }));
    key("3", "Digit3");
    key("w");
    const dialog = await screen.findByRole("dialog", { hidden: true });
    // The best one to begin with; each of the others at an arrow.
    expect(dialog.textContent).toContain("text of y");
    expect(dialog.textContent).toContain("3 words");
    fireEvent.click(screen.getByRole("button", { name: "Start from B", hidden: true }));
    const text = dialog.querySelector("textarea") as HTMLTextAreaElement;
    expect(document.activeElement).toBe(text);
    expect(text.value).toBe("text of y");
    fireEvent.change(text, { target: { value: "a text of y, mended" } });
    expect(dialog.textContent).toContain("5 words");
    fireEvent.keyDown(text, { key: "Enter", ctrlKey: true });
    expect(screen.queryByRole("dialog", { hidden: true })).toBeNull();
    expect(given).toHaveLength(0);
    key("Enter");
    expect(given[0]).toMatchObject({ rewrite: "a text of y, mended", tiers: [["y"], ["z"], ["x"]] });
  });

  it("has no key where the form asks for none", () => {
    server();
    open();
    key("w");
    expect(screen.queryByRole("dialog", { hidden: true })).toBeNull();
    key("?");
    expect(screen.queryByText("Write a better answer beside the original")).toBeNull();
  });
});

describe("the desk of the best few", () => {
  it("ranks what is put into a slot and leaves the rest below the line", async () => {
    server();
    const { given } = open(assignment({ form: formOf({ top_k: { at_least: 1, at_most: 2 } }) }));
    expect(cards()).toEqual(["x0", "y0", "z0"]);
    key("Enter");
    expect(given).toHaveLength(0);
    key("End");
    key("1", "Digit1");
    key("End");
    key("2", "Digit2");
    expect(cards()).toEqual(["z1", "y2", "x0"]);
    key("x", "KeyX");
    expect(cards()).toEqual(["z1", "y0", "x0"]);
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["z"]], touched: true });
  });
});
