import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it, vi } from "vitest";
import type { Run } from "@/api/types";
import { ResumeButtons } from "./ResumeButtons";

afterEach(cleanup);

/** Renders the buttons, clicks each of them, and returns their labels with the changes that they send. */
function click(columns: object) {
  const run = { state: "failed", recipe: { max_minutes: 60 }, checkpoint_step: 40, ...columns };
  const resumed = vi.fn();
  render(
    <MantineProvider>
      <ResumeButtons run={run as unknown as Run} pending={false} onResume={resumed} />
    </MantineProvider>,
  );
  const buttons = screen.queryAllByRole("button");
  for (const button of buttons) fireEvent.click(button);
  return buttons.map((button, at) => [button.textContent, resumed.mock.calls[at]?.[0]]);
}

it("resumes a run without changes", () => {
  expect(click({ failure: { kind: "worker_lost", again: true } })).toEqual([["Resume", {}]]);
});

it("starts a run without a checkpoint again", () => {
  expect(click({ state: "cancelled", checkpoint_step: null })).toEqual([["Run again", {}]]);
});

it("doubles the time limit of a run that has reached it", () => {
  expect(click({ failure: { kind: "time_limit", again: true } })).toEqual([
    ["Resume with a limit of 120 minutes", { max_minutes: 120 }],
  ]);
});

it("offers to allow the other kind of device if that kind was refused", () => {
  expect(click({ failure: { kind: "device_differs", again: true } })).toEqual([
    ["Resume", {}],
    ["Resume on the other device", { other_device: true }],
  ]);
});

it("has no buttons for a run that has not ended", () => {
  expect(click({ state: "running" })).toEqual([]);
});
