import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Project, ReviewShown } from "@/api/types";
import { formOf } from "@/ranking/answer/formFixture";
import { ReviewDesk } from "./ReviewDesk";

const said = (by: string, tiers: string[][], comment = "") => ({
  id: by,
  by,
  tiers,
  strength: null,
  ratings: {},
  flags: {},
  choices: {},
  confidence: null,
  not_rankable: false,
  all_bad: false,
  comment,
  rewrite: null,
  created_at: "2026-01-31T12:00:00Z",
});

const shown = (changes: Partial<ReviewShown> = {}): ReviewShown => ({
  assignment: {
    id: "a1",
    token: "t1",
    expires_at: new Date(Date.now() + 900_000).toISOString(),
    task: { id: "task-1", prompt: { messages: [{ role: "user", content: "Why?" }] } },
    responses: ["x", "y", "z"].map((id) => ({ id, text: `text of ${id}` })),
    form: formOf({}),
    draft: null,
    draft_version: 0,
    practice: false,
  },
  answers: [said("alice", [["x"], ["y"], ["z"]]), said("ben", [["z"], ["y", "x"]], "x is rude")],
  decision: null,
  ...changes,
});

function open(review: ReviewShown, status = 201) {
  const sent: { path: string; body: Record<string, unknown> }[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    sent.push({ path: new URL(request.url).pathname, body: await request.json() });
    const body = { id: "r", title: "Conflict", detail: "Another reviewer was first.", errors: [], status };
    return new Response(JSON.stringify(body), {
      status,
      headers: { "Content-Type": "application/json" },
    });
  });
  const onDone = vi.fn();
  const onLeave = vi.fn();
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <ReviewDesk
          project={{ guidelines: "" } as Project}
          shown={review}
          onDone={onDone}
          onLeave={onLeave}
        />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return { sent, onDone, onLeave };
}

const press = (name: string) => fireEvent.click(screen.getByRole("button", { name }));

describe("the reviewer's desk", () => {
  afterEach(() => {
    cleanup();
    vi.unstubAllGlobals();
  });

  it("shows the answers and sends the reviewer's own ranking", async () => {
    const { sent, onDone } = open(shown());
    const people = screen.getByLabelText("Conversation and answers").textContent;
    expect(people).toContain("aliceA > B > C");
    expect(people).toContain("benC > B = A");
    expect(people).toContain("x is rude");
    press("Decide");
    await waitFor(() => expect(onDone).toHaveBeenCalled());
    expect(sent[0]?.path).toBe("/api/v1/reviews/task-1/decide");
    expect(sent[0]?.body).toMatchObject({ token: "t1", tiers: [["x"], ["y"], ["z"]] });
  });

  it("starts from the existing decision", async () => {
    const { sent } = open(shown({ decision: said("rita", [["z"], ["x", "y"]]) }));
    expect(screen.getByLabelText("Conversation and answers").textContent).toContain(
      "rita decided: C > A = B",
    );
    press("Decide");
    await waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]?.body).toMatchObject({ tiers: [["z"], ["x", "y"]] });
  });

  it("shows why a decision was refused and stays open", async () => {
    const { onDone } = open(shown(), 409);
    press("Decide");
    expect(await screen.findByText(/Another reviewer was first/)).toBeTruthy();
    expect(onDone).not.toHaveBeenCalled();
  });

  it("releases the task when the reviewer leaves it", async () => {
    const { sent, onLeave } = open(shown());
    press("Leave");
    await waitFor(() => expect(onLeave).toHaveBeenCalled());
    expect(sent[0]?.path).toBe("/api/v1/reviews/task-1/release");
  });
});
