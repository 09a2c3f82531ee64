import { describe, expect, it } from "vitest";
import type { Member, Project } from "@/api/types";
import { qualificationOf } from "./qualification";

const member = (changes: Partial<Member>): Member => ({
  username: "alice",
  role: "annotator",
  state: "active",
  paused_reason: "",
  qualified_at: null,
  qualification_attempt: 1,
  extra_attempts: 0,
  created_at: "2026-01-01T00:00:00Z",
  ...changes,
});
const asking = { qualification_pass_mark: 0.8, qualification_attempts: 2 } as Project["checks"];

describe("a member's qualification state", () => {
  it.each([
    ["no pass mark", {}, { qualification_pass_mark: null } as Project["checks"], "none"],
    ["a pass mark of 0", {}, { ...asking, qualification_pass_mark: 0 } as Project["checks"], "trying"],
    ["a manager", { role: "manager" as const }, asking, "none"],
    ["the last attempt", { qualification_attempt: 2 }, asking, "trying"],
    ["after the last attempt", { qualification_attempt: 3 }, asking, "failed"],
    [
      "after the last attempt, with another attempt granted",
      { qualification_attempt: 3, extra_attempts: 1 },
      asking,
      "trying",
    ],
    ["passed", { qualification_attempt: 3, qualified_at: "2026-01-02T00:00:00Z" }, asking, "qualified"],
  ])("%s", (_, changes, checks, expected) => {
    expect(qualificationOf(member(changes), checks)).toBe(expected);
  });
});
