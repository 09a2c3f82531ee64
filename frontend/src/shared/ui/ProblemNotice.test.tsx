import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { problemFrom } from "@/api/problem";
import { ProblemNotice } from ".";

afterEach(cleanup);

it("the notice for a server error shows the request ID", () => {
  render(<ProblemNotice error={problemFrom(500, { detail: "Internal error.", request_id: "4f1c-8" })} />);
  expect(screen.getByRole("alert").textContent).toContain("Request ID: 4f1c-8");
});
