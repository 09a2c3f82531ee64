import { useState } from "react";
import { type ApiProblem, asProblem } from "@/api/problem";
import { fetchLastAnswer } from "../api/assignments";
import type { OutboxState } from "../outbox/outbox";
import type { Hand } from "./flow";

/**
 * Brings the last answer back to the desk. One that is still on its way is here already: its change goes out behind it, so
 * neither hangs on the connection. Else the server says what was said last, and whether it may be changed.
 */
export function useTakeBack(
  slug: string,
  { unsent, takeUp }: { unsent: OutboxState; takeUp: (hand: Hand) => void },
) {
  const [error, setError] = useState<ApiProblem | null>(null);

  /** Whether there was one. */
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
