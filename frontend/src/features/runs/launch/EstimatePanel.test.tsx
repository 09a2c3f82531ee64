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
  host_memory: null as { low: number; expected: number; high: number } | null,
  stages: [
    { name: "generate", bytes: 4e8, host_bytes: 0, parts: [{ name: "keys and values", bytes: 3e8 }] },
    { name: "update", bytes: 6e8, host_bytes: 0, parts: [{ name: "gradients", bytes: 5e6 }] },
  ],
  peak_stage: "update",
  fits: true as boolean | null,
  fitting: null as Record<string, unknown> | null,
  disk: { model: 2e9, checkpoints: 14e9 },
  machine: {
    device: "cpu",
    name: "",
    memory_bytes: 24e9,
    threads: 2,
    host_memory_bytes: 24e9,
    gpus: 0,
    worker: "training@host",
    basis: "worker",
  },
  workers: 1,
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
  expect(screen.getByText("of 24 GB in the main memory of training@host")).toBeDefined();
  expect(screen.getByText("Measured: scaled from 2 earlier runs.")).toBeDefined();
  expect(screen.getByText("fits")).toBeDefined();
});

it("lists the stages, and the parts of the largest stage", async () => {
  open({ estimate: ESTIMATE, refused: [] });
  await screen.findByText("Largest stage: update");
  expect(screen.getByText("Generate")).toBeDefined();
  expect(screen.getByText("Gradients")).toBeDefined();
  expect(screen.queryByText("Keys and values")).toBeNull();
});

it("names the worker's GPUs and shows the main memory that the run needs", async () => {
  const machine = { ...ESTIMATE.machine, device: "cuda", name: "NVIDIA L4", gpus: 2, memory_bytes: 23e9 };
  open({ estimate: { ...ESTIMATE, machine, host_memory: range(4e9, 5e9, 6e9) }, refused: [] });
  expect(await screen.findByText("of 23 GB on each of 2 GPUs (NVIDIA L4) of training@host")).toBeDefined();
  expect(screen.getByText("and 5.0 GB of 24 GB of main memory")).toBeDefined();
});

it.each([
  ["server", "of 24 GB on this server; no worker has reported its devices"],
  ["worker_gone", "of 24 GB in the main memory of training@host, which is not running"],
  ["earlier_run", "of 24 GB in the main memory, as in an earlier run; no worker has reported its devices"],
])("states which device the estimate assumes (%s)", async (basis, said) => {
  open({ estimate: { ...ESTIMATE, machine: { ...ESTIMATE.machine, basis } }, refused: [] });
  expect(await screen.findByText(said)).toBeDefined();
});

it.each([
  [
    { use_peft: true, micro_batch_tokens: 1024 },
    "The run would fit with Use PEFT = true, Micro batch tokens = 1024.",
  ],
  [null, "No memory-saving settings would make the run fit."],
])("suggests settings with which the run would fit", async (fitting, said) => {
  open({ estimate: { ...ESTIMATE, fits: false, fitting }, refused: [] });
  expect(await screen.findByText(said)).toBeDefined();
});

it("shows permanent and temporary disk usage", async () => {
  open({ estimate: ESTIMATE, refused: [] });
  expect(await screen.findByText("2.0 GB")).toBeDefined();
  expect(screen.getByText("plus up to 14 GB for checkpoints during the run")).toBeDefined();
});

it("does not show disk usage for a run that does not store a model", async () => {
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
  open({ estimate: null, refused: [{ field: "inputs.policy", reason: "Train one with SFT first." }] });
  expect(await screen.findByText("Train one with SFT first.")).toBeDefined();
  expect(screen.queryByRole("alert")).toBeNull();
});

it("requests no estimate while a setting is invalid", () => {
  const fetched = open({}, false);
  expect(screen.getByText("The estimate appears when the settings are valid.")).toBeDefined();
  expect(fetched).not.toHaveBeenCalled();
});
