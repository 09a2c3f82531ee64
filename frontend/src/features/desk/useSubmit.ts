import { useCallback, useEffect, useRef, useState } from "react";
import { type ApiProblem, asProblem } from "@/api/problem";
import type { Answer } from "@/api/types";
import { submitAnswer } from "./api/assignments";

export type SubmitState =
  | { state: "ready" }
  | { state: "sending" }
  /** Not answered yet; the same answer with the same key goes out again by itself. */
  | { state: "waiting"; problem: ApiProblem }
  /** Refused: the answer does not fit (422), or the lease is over (409). */
  | { state: "refused"; problem: ApiProblem };

const FIRST_RETRY_MS = 2_000;
const LAST_RETRY_MS = 20_000;

/** Submits once, however often it has to be sent. */
export function useSubmit(assignmentId: string, idempotencyKey: string, onDone: () => void) {
  const [submission, setSubmission] = useState<SubmitState>({ state: "ready" });
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const retryMs = useRef(FIRST_RETRY_MS);
  const inFlight = useRef(false);
  // Under one key only one answer may ever be sent: a retry repeats it to the letter, its duration included.
  const unanswered = useRef<Answer | null>(null);
  const done = useRef(onDone);
  done.current = onDone;

  const submit = useCallback(
    async (newAnswer: Answer): Promise<void> => {
      if (inFlight.current) return;
      inFlight.current = true;
      const answer = unanswered.current ?? newAnswer;
      unanswered.current = answer;
      clearTimeout(timer.current);
      setSubmission({ state: "sending" });
      try {
        await submitAnswer(assignmentId, idempotencyKey, answer);
        done.current();
      } catch (error) {
        const problem = asProblem(error);
        if (!problem.transient) unanswered.current = null;
        setSubmission({ state: problem.transient ? "waiting" : "refused", problem });
        if (problem.transient) {
          timer.current = setTimeout(() => void submit(answer), retryMs.current);
          retryMs.current = Math.min(retryMs.current * 2, LAST_RETRY_MS);
        }
      } finally {
        inFlight.current = false;
      }
    },
    [assignmentId, idempotencyKey],
  );

  useEffect(() => () => clearTimeout(timer.current), []);
  return { submission, submit };
}
