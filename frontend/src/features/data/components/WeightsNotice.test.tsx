import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { WeightsNotice } from "./WeightsNotice";

afterEach(cleanup);

test("a warning is shown if a snapshot's weights are not final", () => {
  const convergence = { converged: false, steps: 1000, change: 0.2 };
  render(<WeightsNotice card={{ weights: { annotators: 3, convergence } }} />);
  expect(screen.getByRole("alert").textContent).toContain("limit of 1,000 steps");
});

test("no warning is shown for final weights, missing weights or older snapshots", () => {
  const convergence = { converged: true, steps: 14, change: 0 };
  for (const weights of [{ convergence }, { convergence: null }, {}, { annotators: 2 }, undefined])
    render(<WeightsNotice card={{ weights }} />);
  expect(screen.queryByRole("alert")).toBeNull();
});
