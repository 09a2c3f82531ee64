import { describe, expect, it } from "vitest";
import { asProblem, problemFrom, unreachable } from "./problem";

describe("error responses", () => {
  it("an API error keeps its detail and the reason for each field", () => {
    const problem = problemFrom(422, {
      type: "invalid",
      title: "Unprocessable Entity",
      detail: "The answer doesn't fit the task that was shown.",
      errors: [
        { field: "tiers", reason: "Not ranked: B." },
        { field: "tiers", reason: "C occurs twice." },
        { field: 7, reason: "not ours" },
      ],
    });
    expect(problem.detail).toBe("The answer doesn't fit the task that was shown.");
    expect(problem.byField()).toEqual({ tiers: "Not ranked: B. C occurs twice." });
    expect(problem.title).toBe("Some of the input is invalid");
    expect(problem.transient).toBe(false);
  });

  it("an empty body or an HTML page from a proxy results in a plain error message", () => {
    expect(problemFrom(502, "<html>Bad gateway</html>").title).toBe("Server error");
    expect(problemFrom(404, null).title).toBe("Not found, or you do not have access");
    expect(problemFrom(418, undefined).title).toBe("The request was refused");
  });

  it("a server error shows the request ID, which identifies the log entries", () => {
    const body = { detail: "Internal error.", request_id: "4f1c" };
    expect(problemFrom(500, body).detail).toBe("Internal error. Request ID: 4f1c");
    expect(problemFrom(503, { request_id: "4f1c" }).detail).toBe("Request ID: 4f1c");
    expect(problemFrom(422, body).detail).toBe("Internal error.");
    expect(problemFrom(500, { detail: "Internal error.", request_id: 7 }).detail).toBe("Internal error.");
  });

  it("an error states whether repeating the request can succeed", () => {
    expect(unreachable().transient).toBe(true);
    expect(problemFrom(503, null).transient).toBe(true);
    expect(problemFrom(429, null).transient).toBe(true);
    expect(problemFrom(409, null).transient).toBe(false);
  });

  it("a JavaScript error on the page is converted to an ApiProblem", () => {
    expect(asProblem(new Error("oops")).detail).toBe("oops");
    const problem = unreachable();
    expect(asProblem(problem)).toBe(problem);
  });
});
