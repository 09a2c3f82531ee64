import type { AnswerForm } from "@/api/types";

/** The minimal form for tests. Each test adds the parts that it needs. */
export function formOf(parts: Partial<AnswerForm> = {}): AnswerForm {
  return {
    responses: { min: 2, max: 10 },
    ties: true,
    tie_label: "About equally good",
    top_k: null,
    strength: null,
    ratings: [],
    flags: [],
    questions: [],
    confidence: null,
    not_rankable: true,
    all_bad: null,
    comment: null,
    rewrite: null,
    ...parts,
  };
}
