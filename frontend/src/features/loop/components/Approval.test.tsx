import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Gate, Me } from "@/api/types";
import { meQuery } from "@/shared/session";
import { Approval } from "./Approval";

const gate = {
  id: "g1",
  state: "awaiting",
  reason: "People prefer ppo-1.",
  model: { name: "ppo-1" },
} as Gate;

let asked: string[];
beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`.trim());
    return Response.json({ id: "r1" });
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(is_admin: boolean) {
  const client = new QueryClient();
  client.setQueryData(meQuery.queryKey, { is_admin } as Me);
  render(
    <QueryClientProvider client={client}>
      <MantineProvider>
        <Approval gate={gate} />
      </MantineProvider>
    </QueryClientProvider>,
  );
}

it("an admin approves the policy", async () => {
  show(true);
  expect(screen.getByText("People prefer ppo-1.")).toBeDefined();
  fireEvent.click(screen.getByText("Approve and promote ppo-1"));
  await waitFor(() => expect(asked).toEqual(["POST /api/v1/gates/g1/approve"]));
});

it("a rejection needs a reason", async () => {
  show(true);
  fireEvent.click(screen.getByText("Reject"));
  const yes = screen.getAllByText("Reject").at(-1)?.closest("button");
  expect(yes?.disabled).toBe(true);
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "It invents order numbers." } });
  fireEvent.click(screen.getAllByText("Reject").at(-1) as HTMLElement);
  await waitFor(() =>
    expect(asked).toEqual(['POST /api/v1/gates/g1/reject {"reason":"It invents order numbers."}']),
  );
});

it("a manager sees that the policy waits, but no buttons", () => {
  show(false);
  expect(screen.getByText("An admin must approve this policy")).toBeDefined();
  expect(screen.queryByRole("button")).toBeNull();
});
