import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { Unfinished } from "./Unfinished";

afterEach(cleanup);

test("strengths that are not final are marked, and final strengths are not", () => {
  const { rerender } = render(<Unfinished convergence={{ converged: false, steps: 200, change: 1 }} />);
  expect(screen.getByRole("alert").textContent).toContain("limit of 200 steps");
  rerender(<Unfinished convergence={{ converged: true, steps: 6, change: 0 }} />);
  expect(screen.queryByRole("alert")).toBeNull();
});
