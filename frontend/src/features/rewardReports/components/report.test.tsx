import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Model, RewardReport } from "@/api/types";
import { Comparison } from "./Comparison";
import { Crowd } from "./Crowd";
import { Diagram } from "./Diagram";
import { Slices } from "./Slices";

const of = (value: number | null, low: number | null = null, high: number | null = null) => ({
  value,
  low,
  high,
});

let asked: string[];
beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    const { pathname, searchParams } = new URL(request.url);
    const other = searchParams.get("other");
    asked.push(`${pathname}?${other}`);
    if (other === "rm-0") {
      const detail = "The models share no held-out rankings.";
      return Response.json({ title: "Refused", detail, errors: [] }, { status: 422 });
    }
    return Response.json({
      rankings: 51,
      prompts: 50,
      pairs: 292,
      first: of(0.7, 0.6, 0.8),
      second: of(0.62, 0.5, 0.7),
      difference: of(0.08, 0.03, 0.13),
      p_value: 0.0004,
      only_first: 31,
      only_second: 7.5,
      log_loss: of(-0.01, -0.1, 0.1),
      ece: of(0.02, -0.01, 0.04),
      same_verdict: of(0.9, 0.8, 1),
      slices: [
        { by: "turns", of: "1", pairs: 250, prompts: 40, difference: of(0.1, 0.05, 0.15), p_value: 0.012 },
        { by: "length", of: "alike", pairs: 42, prompts: 10, difference: of(-0.04), p_value: 1 },
      ],
    });
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

function show(children: ReactNode) {
  render(
    <QueryClientProvider client={new QueryClient()}>
      <MantineProvider>{children}</MantineProvider>
    </QueryClientProvider>,
  );
}

it("lists slices by kind, with intervals if known, and marks overconfidence", () => {
  const slices: RewardReport["slices"] = [
    { by: "strength", of: "3", pairs: 40, prompts: 20, accuracy: of(0.9, 0.8, 0.95), confidence: 0.85 },
    { by: "strength", of: "not_stated", pairs: 4, prompts: 1, accuracy: of(0.5), confidence: 0.9 },
    { by: "length", of: "much_shorter", pairs: 9, prompts: 8, accuracy: of(0.4, 0.2, 0.6), confidence: 0.71 },
  ];
  show(<Slices report={{ pairs: 53, prompts: 25, accuracy: of(0.8, 0.7, 0.9), slices } as RewardReport} />);
  const rows = screen.getAllByRole("row").map((row) => row.textContent);
  expect(rows).toEqual([
    expect.stringContaining("Accuracy"),
    "All preferences532580.0 %70.0 % to 90.0 %",
    "Stated strength",
    "3402090.0 %80.0 % to 95.0 %85.0 %",
    "not stated4150.0 %90.0 %",
    "Length of the preferred response",
    "much shorter (below 2/3)9840.0 %20.0 % to 60.0 %71.0 %overconfident",
  ]);
});

it("draws every bin, with its interval if it has one", () => {
  const bins = [
    { low: 0.2, high: 0.3, events: 30, predicted: 0.25, observed: of(0.5, 0.25, 0.75) },
    { low: 0.9, high: 1, events: 10, predicted: 1, observed: of(1) },
  ];
  show(<Diagram bins={bins} label="diagram" />);
  const drawing = screen.getByRole("img", { name: "diagram" });
  const at = [...drawing.querySelectorAll("circle")].map((dot) => [
    Number(dot.getAttribute("cx")),
    Number(dot.getAttribute("cy")),
  ]);
  expect(at).toEqual([
    [100, 144],
    [280, 24],
  ]); // x = 40 + 240 · predicted, y = 264 − 240 · observed.
  expect(drawing.querySelectorAll("line.mark, line[class*=mark]")).toHaveLength(1);
  const tall = [...drawing.querySelectorAll("rect")].map((bar) => Number(bar.getAttribute("height")));
  expect((tall[0] ?? 0) / (tall[1] ?? 1)).toBeCloseTo(3);
});

it("compares the model with the newest other model or a chosen model, and explains a failure", async () => {
  const model = { id: "rm-2", name: "demo-rm-2" } as Model;
  const others = [
    { id: "rm-1", name: "demo-rm-1" },
    { id: "rm-0", name: "demo-rm-0" },
  ];
  show(<Comparison model={model} others={others} />);
  expect(await screen.findByText("demo-rm-2 is better")).toBeDefined();
  const panel = within(screen.getByRole("region", { name: "Compare with another reward model" }));
  expect(panel.getByText("+8.0 (+3.0 to +13.0)")).toBeDefined();
  expect(panel.getByText("< 0.001")).toBeDefined();
  expect(panel.getByText("31, 7.5")).toBeDefined();
  expect(
    panel
      .getAllByRole("row")
      .slice(1)
      .map((row) => row.textContent),
  ).toEqual([
    "User turns: 125040+10.0 (+5.0 to +15.0)0.012",
    "Length of the preferred response: similar4210−4.01.000",
  ]);
  fireEvent.change(panel.getByLabelText("Compare with"), { target: { value: "rm-0" } });
  expect(await screen.findByText(/share no held-out rankings/)).toBeDefined();
  expect(asked).toEqual(["/api/v1/models/rm-2/comparison?rm-1", "/api/v1/models/rm-2/comparison?rm-0"]);
});

it("reports that there is no model to compare with", () => {
  show(<Comparison model={{ id: "rm-1", name: "demo-rm-1" } as Model} others={[]} />);
  expect(screen.getByText(/No other reward model/)).toBeDefined();
  expect(asked).toEqual([]);
});

it("lists annotators with their reliability, and marks those who may be guessing", () => {
  show(
    <Crowd
      annotators={[
        { name: "rex", rankings: 1200, reliability: of(0.52, 0.47, 0.57) },
        { name: "ben", rankings: 40, reliability: of(0.93, 0.81, 0.98) },
      ]}
    />,
  );
  expect(screen.getAllByRole("row").map((row) => row.textContent)).toEqual([
    expect.stringContaining("Reliability"),
    "rex1,20052.0 %47.0 % to 57.0 %not significantly better than guessing",
    "ben4093.0 %81.0 % to 98.0 %",
  ]);
});
