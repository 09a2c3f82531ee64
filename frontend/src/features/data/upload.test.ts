// @vitest-environment jsdom
import { expect, test } from "vitest";
import { bodyOf, defaultOptions } from "./upload";

test("options that are not set are left out", () => {
  expect(bodyOf(defaultOptions, true)).toEqual({ dry_run: true, votes: "close", round: 0, priority: 0 });
});

test("every chosen option is sent under its name in the API", () => {
  const chosen = {
    mapping: { vote: "winner" },
    votes: "keep",
    overlap: 2,
    responsesPerTask: 4,
    round: 3,
    priority: -1,
  } as const;
  expect(bodyOf(chosen, false)).toEqual({
    dry_run: false,
    mapping: { vote: "winner" },
    votes: "keep",
    overlap: 2,
    responses_per_task: 4,
    round: 3,
    priority: -1,
  });
});
