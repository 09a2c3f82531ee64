import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { vi } from "vitest";
import type { Answer, Assignment, Project } from "@/api/types";
import { formOf } from "@/ranking/answer/formFixture";
import { type Hand, toRank } from "../flow/flow";
import { Desk } from "./Desk";

/* The desk for component tests. It has three responses x, y and z. A fake API records requests, and helper
   functions simulate key presses. */

const form = formOf({
  flags: [{ name: "unsafe", label: "Unsafe" }],
  comment: { label: "Comment", required: false },
});
export const assignment = (overrides: Partial<Assignment> = {}): Assignment => ({
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
export const project = { slug: "p", guidelines: "Be fair.", skip_ways: ["others", "me"] } as Project;

type Sent = { path: string; body: Record<string, unknown> };

/**
 * A fake API for the desk. `refusals` maps the last part of a path, such as `heartbeat`, to the status of the
 * response. The status 0 simulates an unreachable server. All other requests succeed.
 */
export function server(refusals: Record<string, number> = {}) {
  const sent: Sent[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const path = new URL(request.url).pathname;
    sent.push({ path, body: await request.json() });
    const status = refusals[path.split("/").at(-1) ?? ""] ?? 200;
    if (status === 0) throw new TypeError("Failed to fetch");
    const expires_at = new Date(Date.now() + 900_000).toISOString();
    const body = status < 300 ? { version: 1, expires_at } : { detail: "The lease has expired." };
    return new Response(JSON.stringify(body), {
      status,
      headers: { "Content-Type": "application/json" },
    });
  });
  return { sent };
}

export function open(task = assignment(), of: Project = project, parts: Partial<Hand> = {}) {
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

export const key = (name: string, code = "") =>
  fireEvent.keyDown(document.activeElement ?? document.body, { key: name, code });
export const cards = () =>
  screen.getAllByTestId("response-card").map((card) => `${card.dataset.responseId}${card.dataset.rank}`);

/** Call this after each test that opens a desk. */
export function clearTheDesk(): void {
  cleanup();
  localStorage.clear();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
}
