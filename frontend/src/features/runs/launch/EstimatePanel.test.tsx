import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { LaunchBody } from "../api/runs";
import { EstimatePanel } from "./EstimatePanel";

const BODY: LaunchBody = { project: "demo", kind: "ppo", recipe: {}, inputs: {} };
const range = (low: number, expected: number, high: number) => ({ low, expected, high });
const ESTIMATE = {
  seconds: range(60, 120, 300),
  memory: range(5e8, 6e8, 9e8),
  parts: [{ name: "weights: policy", bytes: 5e6 }],
  fits: true as boolean | null,
  disk: { model: 2e9, checkpoints: 14e9 },
  machine: { device: "cpu", name: "", memory_bytes: 24e9, threads: 2 },
  machine_known: true,
  model: "demo-world",
  weights: 1_257_000,
  runs: 2,
  time_basis: "Measured: scaled from 2 earlier runs.",
  memory_basis: "Arithmetic.",
};

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function open(answer: unknown, valid = true) {
  const fetched = vi.fn(async () => Response.json(answer));
  vi.stubGlobal("fetch", fetched);
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MantineProvider>
        <EstimatePanel body={BODY} valid={valid} />
      </MantineProvider>
    </QueryClientProvider>,
  );
  return fetched;
}

it("shows ranges for time and memory, and the basis of the estimate", async () => {
  open({ estimate: ESTIMATE, refused: [] });
  expect(await screen.findByText("60 s to 5 min")).toBeDefined();
  expect(screen.getByText("500 MB to 900 MB")).toBeDefined();
  expect(screen.getByText("of 24 GB on the worker's machine")).toBeDefined();
  expect(screen.getByText("Measured: scaled from 2 earlier runs.")).toBeDefined();
  expect(screen.getByText("fits")).toBeDefined();
});

it("shows permanent and temporary disk usage", async () => {
  open({ estimate: ESTIMATE, refused: [] });
  expect(await screen.findByText("2.0 GB")).toBeDefined();
  expect(screen.getByText("plus up to 14 GB for checkpoints during the run")).toBeDefined();
});

it("shows no disk usage for a run that stores no model", async () => {
  open({ estimate: { ...ESTIMATE, disk: { model: 0, checkpoints: 0 } }, refused: [] });
  await screen.findByText("fits");
  expect(screen.queryByText("Disk")).toBeNull();
});

it.each([
  [null, "might not fit"],
  [false, "does not fit"],
])("warns when memory is short (%s)", async (fits, said) => {
  open({ estimate: { ...ESTIMATE, fits }, refused: [] });
  expect(await screen.findByText(said)).toBeDefined();
});

it("explains a missing estimate without showing an error", async () => {
  open({ estimate: null, refused: [{ field: "inputs.policy", reason: "Run sft first." }] });
  expect(await screen.findByText("Run sft first.")).toBeDefined();
  expect(screen.queryByRole("alert")).toBeNull();
});

it("requests no estimate while a setting is invalid", () => {
  const fetched = open({}, false);
  expect(screen.getByText("The estimate appears when the settings are valid.")).toBeDefined();
  expect(fetched).not.toHaveBeenCalled();
});
