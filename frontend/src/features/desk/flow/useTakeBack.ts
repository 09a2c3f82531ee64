import { useState } from "react";
import { type ApiProblem, asProblem } from "@/api/problem";
import { fetchLastAnswer } from "../api/assignments";
import type { OutboxState } from "../outbox/outbox";
import type { Hand } from "./flow";

/**
 * Puts the last answer back on the desk. If the answer is still in the outbox, it is read from there, so no
 * connection is needed, and the revision is sent after the original answer. Otherwise, the answer is
 * requested from the server. The server returns the answer only if it can be revised.
 */
export function useTakeBack(
  slug: string,
  { unsent, takeUp }: { unsent: OutboxState; takeUp: (hand: Hand) => void },
) {
  const [error, setError] = useState<ApiProblem | null>(null);

  /** Resolves to false if there is no answer to take back, and otherwise to true, even if the request failed. */
  async function run(): Promise<boolean> {
    setError(null);
    const last = unsent.queued.findLast((entry) => entry.slug === slug);
    try {
      const found = last?.assignment
        ? { assignment: { ...last.assignment, token: "" }, answer: last.answer }
        : await fetchLastAnswer(slug);
      if (found === null || found.assignment.practice) return false;
      const { token: _, ...answer } = { token: "", ...found.answer };
      takeUp({ assignment: found.assignment, how: "revise", answer, refusal: null, lost: false });
      return true;
    } catch (problem) {
      setError(asProblem(problem));
      return true;
    }
  }

  return { run, error };
}
