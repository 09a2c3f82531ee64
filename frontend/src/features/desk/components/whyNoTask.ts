import { ApiProblem } from "@/api/problem";
import { en } from "../texts/desk.en";

/**
 * The reasons why the server assigns no task, by problem type. None of them is an error; each text suggests an
 * action.
 */
export type Why = { type: keyof typeof en.none; detail: string; mayTakeBack: boolean };

/** Annotators who have reached a limit can still revise an answer. */
const MAY_TAKE_BACK = new Set(["project-not-active", "cap-reached", "daily-cap-reached"]);

/** The refusal as plain text; null for a failure, which is shown as an error. */
export function whyNoTask(error: unknown): Why | null {
  if (!(error instanceof ApiProblem) || error.status !== 409) return null;
  if (!Object.hasOwn(en.none, error.type)) return null;
  const type = error.type as Why["type"];
  return { type, detail: error.detail, mayTakeBack: MAY_TAKE_BACK.has(type) };
}
