import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Model } from "@/api/types";
import { type StageChange, StageDialog } from "./StageDialog";

const model = (name: string, stage: Model["stage"] = "candidate") =>
  ({ id: name, name, kind: "policy", stage }) as Model;

let asked: string[];
let answer: () => Response;
let closed: ReturnType<typeof vi.fn<() => void>>;

beforeEach(() => {
  asked = [];
  closed = vi.fn<() => void>();
  answer = () => Response.json(model("ppo-1", "production"));
  vi.stubGlobal("fetch", async (request: Request) => {
    asked.push(`${request.method} ${new URL(request.url).pathname} ${await request.text()}`.trim());
    return answer();
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function open(of: Model, change: StageChange, inProduction?: Model) {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MantineProvider>
        <StageDialog model={of} change={change} inProduction={inProduction} onClose={closed} />
      </MantineProvider>
    </QueryClientProvider>,
  );
}

it("the promotion dialog explains the effect and asks for confirmation", async () => {
  open(model("ppo-1"), "promote", model("sft-1", "production"));
  expect(
    screen.getByText(/From now on, runs and the project’s loop use this policy by default/),
  ).toBeDefined();
  expect(
    screen.getByText(/sft-1 is currently in production and will become a candidate again/),
  ).toBeDefined();
  fireEvent.click(screen.getByText("Cancel"));
  expect(asked).toEqual([]);
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "Better answers." } });
  fireEvent.click(screen.getByText("Put into production"));
  await waitFor(() => expect(closed).toHaveBeenCalledTimes(2));
  expect(asked).toEqual(['POST /api/v1/models/ppo-1/promote {"reason":"Better answers."}']);
});

it("a demotion needs a reason and can roll back", async () => {
  open(model("ppo-1", "production"), "demote");
  const yes = screen.getByText("Demote").closest("button");
  expect(yes?.disabled).toBe(true);
  fireEvent.change(screen.getByRole("textbox"), { target: { value: "It repeats itself." } });
  fireEvent.click(screen.getByText("Demote"));
  await waitFor(() => expect(closed).toHaveBeenCalledOnce());
  expect(asked).toEqual([
    'POST /api/v1/models/ppo-1/demote {"reason":"It repeats itself.","roll_back":true}',
  ]);
});

it("the archive dialog states that files are kept, and stays open on errors", async () => {
  answer = () =>
    Response.json({ detail: "ppo-1 is in production; promote another policy first." }, { status: 409 });
  open(model("ppo-1"), "archive");
  expect(screen.getByText(/Its files, metrics and lineage are kept/)).toBeDefined();
  fireEvent.click(screen.getByText("Archive"));
  expect(await screen.findByText(/promote another policy first/)).toBeDefined();
  expect(closed).not.toHaveBeenCalled();
});
