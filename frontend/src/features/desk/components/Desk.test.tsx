import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Answer, Assignment, Project } from "@/api/types";
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
  ...overrides,
});
const project = { slug: "p", guidelines: "Be fair.", skip_ways: ["others", "me"] } as Project;

type Sent = { path: string; key: string | null; body: Answer & { draft?: Answer } };

/** The API as far as a desk sees it; `submit` answers the submits in turn, the last one for ever. */
function server(...submit: number[]) {
  const sent: Sent[] = [];
  const answers = [...submit];
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname;
    sent.push({ path, key: request.headers.get("Idempotency-Key"), body: await request.json() });
    const status = path.endsWith("/submit") ? (answers.length > 1 ? answers.shift() : answers[0]) : 200;
    if (status === 0) throw new TypeError("Failed to fetch");
    const body = path.endsWith("/draft") ? { version: 1 } : { id: "r", detail: "The lease ran out." };
    return new Response(JSON.stringify(body), {
      status: status ?? 201,
      headers: { "Content-Type": "application/json" },
    });
  });
  return { sent, submits: () => sent.filter(({ path }) => path.endsWith("/submit")) };
}

function open(task = assignment(), of: Project = project) {
  const onDone = vi.fn();
  const onAskAgain = vi.fn();
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <Desk project={of} assignment={task} lastDone="" onDone={onDone} onAskAgain={onAskAgain} />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { onDone, onAskAgain };
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
  vi.useRealTimers();
});

describe("skipping", () => {
  const skipWith = (ways: Project["skip_ways"], choose: string | null) => {
    const { sent } = server(201);
    const { onDone } = open(assignment(), { ...project, skip_ways: ways });
    key("s");
    fireEvent.change(screen.getByLabelText("Reason"), { target: { value: "not my language" } });
    if (choose) fireEvent.click(screen.getByLabelText(choose));
    fireEvent.click(screen.getByRole("button", { name: "Skip task", hidden: true }));
    return { sent, onDone };
  };

  it("goes where the project says unless told otherwise", async () => {
    const { sent, onDone } = skipWith(["others", "me"], null);
    await waitFor(() => expect(onDone).toHaveBeenCalledExactlyOnceWith("skipped"));
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toEqual({
      token: "t1",
      reason: "not my language",
      way: "others",
    });
  });

  it("can be put off where the project allows it", async () => {
    const { sent, onDone } = skipWith(["others", "me"], "Show it to me later");
    await waitFor(() => expect(onDone).toHaveBeenCalled());
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toMatchObject({ way: "me" });
  });

  it("offers no choice where there is none, and says what will become of the task", () => {
    server(201);
    open(assignment(), { ...project, skip_ways: ["drop"] });
    key("s");
    expect(screen.queryByRole("radio", { hidden: true })).toBeNull();
    expect(screen.getByText(/Nobody will be asked to rank it any more/)).toBeTruthy();
  });
});

describe("the desk", () => {
  it("shows the responses in the order served, without their models", () => {
    server(201);
    open();
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });

  it("ranks by keyboard and submits once", async () => {
    const { submits } = server(201);
    const { onDone } = open();
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
    await waitFor(() => expect(onDone).toHaveBeenCalledExactlyOnceWith("submitted"));
    expect(submits()).toHaveLength(1);
    expect(submits()[0]?.body).toMatchObject({ tiers: [["z"], ["x", "y"]], touched: true, token: "t1" });
  });

  it("asks before it takes an untouched order", async () => {
    const { submits } = server(201);
    const { onDone } = open();
    key("Enter");
    expect(screen.getByText(/Submit it as your answer/)).toBeTruthy();
    expect(submits()).toHaveLength(0);
    fireEvent.click(screen.getByRole("button", { name: "Submit this order", hidden: true }));
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(submits()[0]?.body).toMatchObject({ tiers: [["x"], ["y"], ["z"]], touched: false });
  });

  it("sends the same answer with the same key until it is answered", async () => {
    vi.useFakeTimers();
    const { submits } = server(0, 503, 201);
    const { onDone } = open();
    key("2", "Digit2");
    key("Enter");
    await act(() => vi.advanceTimersByTimeAsync(100));
    expect(screen.getByText("Not sent yet")).toBeTruthy();
    key("3", "Digit3"); // Too late to change an answer that may have arrived.
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    expect(onDone).toHaveBeenCalledExactlyOnceWith("submitted");
    expect(submits()).toHaveLength(3);
    expect(new Set(submits().map((submit) => submit.key)).size).toBe(1);
    expect(new Set(submits().map((submit) => JSON.stringify(submit.body))).size).toBe(1);
  });

  it("says plainly when the task is no longer theirs, and keeps the work", async () => {
    server(409);
    const { onDone, onAskAgain } = open();
    key("3", "Digit3");
    key("Enter");
    await screen.findByText("This task is no longer yours");
    expect(screen.getByText("The lease ran out.")).toBeTruthy();
    expect(JSON.parse(localStorage.getItem("rankloop.answer.a1") ?? "{}").draft.tiers).toEqual([
      ["y"],
      ["z"],
      ["x"],
    ]);
    fireEvent.click(screen.getByRole("button", { name: "Get a task" }));
    expect(onAskAgain).toHaveBeenCalledOnce();
    expect(onDone).not.toHaveBeenCalled();
  });

  it("comes back to the work of a closed tab that the server never saw", () => {
    server(201);
    open();
    key("3", "Digit3");
    cleanup();
    open();
    expect(cards()).toEqual(["y1", "z2", "x3"]);
  });

  it("prefers the server's draft when another device went on", () => {
    server(201);
    open();
    key("3", "Digit3");
    cleanup();
    open(assignment({ draft: { tiers: [["z"], ["y"], ["x"]], touched: true }, draft_version: 5 }));
    expect(cards()).toEqual(["z1", "y2", "x3"]);
  });

  it("types digits into the comment, not into the ranking", () => {
    server(201);
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
    const { submits } = server(201);
    const { onDone } = open(pairTask());
    expect(cards()).toEqual(["x0", "y0"]);
    key("5", "Digit5");
    expect(cards()).toEqual(["x2", "y1"]);
    expect(screen.getByTestId("announcer").textContent).toBe("B is much better.");
    key("ArrowLeft");
    expect(screen.getByTestId("announcer").textContent).toBe("B is slightly better.");
    key("Enter");
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(submits()[0]?.body).toMatchObject({ tiers: [["y"], ["x"]], strength: 1, touched: true });
  });

  it("is no answer until a position is chosen", () => {
    const { submits } = server(201);
    open(pairTask());
    key("Enter");
    expect(submits()).toHaveLength(0);
    expect(screen.getByTestId("announcer").textContent).toBe(
      "Not submitted yet. Not answered: which response is better.",
    );
    expect(screen.getByTestId("pair-scale").contains(document.activeElement)).toBe(true);
  });

  it("sends that both are bad as the tie it counts as", async () => {
    const { submits } = server(201);
    const { onDone } = open(pairTask({ strength: null, all_bad: { label: "Both are bad", order: "tied" } }));
    fireEvent.click(screen.getByLabelText("Both are bad"));
    key("Enter");
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(submits()[0]?.body).toMatchObject({ tiers: [["x", "y"]], all_bad: true, strength: null });
  });
});

describe("questions of the form", () => {
  it("keep the desk from submitting while a required one is open, and take the focus", async () => {
    const { submits } = server(201);
    const { onDone } = open(
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
    expect(submits()).toHaveLength(0);
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
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(submits()[0]?.body).toMatchObject({
      ratings: { x: { helpful: 3 }, y: { helpful: 0 }, z: { helpful: 0 } },
      choices: { safety: "all" },
      comment: "because",
    });
  });

  it("are gone through by Enter, from card to card", () => {
    server(201);
    open(pairTask({ ratings: [SCALE], strength: null }));
    key("1", "Digit1");
    key("Enter");
    key("4", "Digit4");
    key("Enter");
    // In the other card now, and in its scale: not on the card.
    expect(document.activeElement?.matches('[data-field="ratings.y.helpful"] input')).toBe(true);
  });

  it("are taken back with Delete, or by a second click", () => {
    server(201);
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
    server(201);
    open(assignment({ form: formOf({ rewrite: { label: "A better answer", required: false } }) }));
    key("2", "Digit2");
    fireEvent.click(screen.getByRole("button", { name: "Start from the best response" }));
    expect(screen.getByLabelText<HTMLTextAreaElement>("A better answer").value).toBe("text of y");
  });
});

describe("the desk of the best few", () => {
  it("ranks what is put into a slot and leaves the rest below the line", async () => {
    const { submits } = server(201);
    const { onDone } = open(assignment({ form: formOf({ top_k: { at_least: 1, at_most: 2 } }) }));
    expect(cards()).toEqual(["x0", "y0", "z0"]);
    key("Enter");
    expect(submits()).toHaveLength(0);
    key("End");
    key("1", "Digit1");
    key("End");
    key("2", "Digit2");
    expect(cards()).toEqual(["z1", "y2", "x0"]);
    key("x", "KeyX");
    expect(cards()).toEqual(["z1", "y0", "x0"]);
    key("Enter");
    await waitFor(() => expect(onDone).toHaveBeenCalledOnce());
    expect(submits()[0]?.body).toMatchObject({ tiers: [["z"]], touched: true });
  });
});
