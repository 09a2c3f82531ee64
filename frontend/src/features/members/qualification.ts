import type { Member, Project } from "@/api/types";

export type Qualification = "none" | "qualified" | "trying" | "failed";

/**
 * A member's qualification state; "none" if the project requires no qualification or the member is not an
 * annotator.
 */
export function qualificationOf(member: Member, checks: Project["checks"]): Qualification {
  const asked = checks?.qualification_pass_mark !== null && checks?.qualification_pass_mark !== undefined;
  if (!asked || member.role !== "annotator") return "none";
  if (member.qualified_at) return "qualified";
  const allowed = (checks.qualification_attempts ?? 0) + member.extra_attempts;
  return member.qualification_attempt > allowed ? "failed" : "trying";
}
