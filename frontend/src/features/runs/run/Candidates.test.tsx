import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { Run } from "@/api/types";
import { Candidates } from "./Candidates";

const RUN = { id: "7", result: { candidates: { sha256: "ab12", bytes: 10 } } } as unknown as Run;

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function open(answer: Response, { run = RUN, asks = true } = {}) {
  const fetched = vi.fn(async (_request: Request) => answer);
  vi.stubGlobal("fetch", fetched);
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MantineProvider>
        <Candidates run={run} asks={asks} />
      </MantineProvider>
    </QueryClientProvider>,
  );
  return fetched;
}

it("creates ranking tasks from the candidates and reports their number", async () => {
  const added = { tasks: 12, unchanged: 0, responses: 48, refused: {} };
  const fetched = open(Response.json(added, { status: 201 }));
  expect(screen.getByRole("link", { name: "Download" }).getAttribute("href")).toBe(
    "/api/v1/runs/7/candidates",
  );
  fireEvent.click(screen.getByRole("button", { name: "Create ranking tasks from the responses" }));
  expect(await screen.findByText("Created 12 tasks")).toBeDefined();
  const [request] = fetched.mock.calls[0] ?? [];
  expect([request?.method, new URL(request?.url ?? "").pathname]).toEqual([
    "POST",
    "/api/v1/runs/7/candidates/tasks",
  ]);
});

it("reports that all tasks already existed", async () => {
  open(Response.json({ tasks: 0, unchanged: 12, responses: 0, refused: {} }));
  fireEvent.click(screen.getByRole("button", { name: "Create ranking tasks from the responses" }));
  expect(await screen.findByText("All 12 tasks already existed")).toBeDefined();
});

it("shows the reason if no task can be created", async () => {
  const detail =
    "No ranking task can be created from this run's candidates. No prompt has two distinct finished answers.";
  open(
    Response.json(
      { type: "about:blank", title: "Unprocessable Entity", status: 422, detail, errors: [] },
      { status: 422, headers: { "Content-Type": "application/problem+json" } },
    ),
  );
  fireEvent.click(screen.getByRole("button", { name: "Create ranking tasks from the responses" }));
  expect(await screen.findByText(detail)).toBeDefined();
});

it("offers managers only the download; a run without candidates has no panel", () => {
  open(Response.json({}), { asks: false });
  expect(screen.queryByRole("button")).toBeNull();
  cleanup();
  open(Response.json({}), { run: { ...RUN, result: {} } as Run });
  expect(screen.queryByText("Candidates")).toBeNull();
});
