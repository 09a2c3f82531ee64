import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { Run } from "@/api/types";
import { ResumePoint } from "./ResumePoint";

afterEach(cleanup);

function open(columns: Partial<Run>) {
  const at = new Date(Date.now() - 3 * 60_000).toISOString();
  const run = { state: "cancelled", total_steps: 120, checkpoint_step: 40, checkpoint_at: at, ...columns };
  return render(<ResumePoint run={run as Run} />).container.textContent;
}

it("shows where a cancelled or failed run would resume, and how long its checkpoints are kept", () => {
  expect(open({})).toBe(
    "The run would resume after step 40 of 120The checkpoint was saved 3 min ago. " +
      "Checkpoints are kept for a week after a run fails or is cancelled.",
  );
  expect(screen.getByRole("status")).toBeDefined();
});

it("shows where a queued run will resume, although its total number of steps is not known yet", () => {
  expect(open({ state: "queued", total_steps: 0 })).toMatch(/^The run will resume after step 40The check/);
});

it("shows where a running run would resume if it were interrupted", () => {
  expect(open({ state: "running" })).toBe(
    "If the run is interrupted, it resumes after step 40 of 120. The checkpoint was saved 3 min ago.",
  );
});

it("shows nothing without a checkpoint", () => {
  expect(open({ checkpoint_step: null, checkpoint_at: null })).toBe("");
});
