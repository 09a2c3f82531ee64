import { ApiProblem } from "@/api/problem";
import { en } from "../texts/desk.en";

/**
 * A reason why the server assigns no task, identified by its problem type. Instead of an error, the page
 * shows a message that tells the annotator how to proceed.
 */
export type Why = { type: keyof typeof en.none; detail: string; mayTakeBack: boolean };

/** Reasons for which the page still offers to take back the last answer. */
const MAY_TAKE_BACK = new Set(["project-not-active", "cap-reached", "daily-cap-reached"]);

/** The reason why there is no task. Null for any other failure, which the page shows as an error. */
export function whyNoTask(error: unknown): Why | null {
  if (!(error instanceof ApiProblem) || error.status !== 409) return null;
  if (!Object.hasOwn(en.none, error.type)) return null;
  const type = error.type as Why["type"];
  return { type, detail: error.detail, mayTakeBack: MAY_TAKE_BACK.has(type) };
}
