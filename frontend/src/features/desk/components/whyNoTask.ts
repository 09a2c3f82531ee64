import { ApiProblem } from "@/api/problem";
import { en } from "../texts/desk.en";

/** Why the server gives somebody no task, by the problem's type. None of these is an error: they say what to do. */
export type Why = { type: keyof typeof en.none; detail: string; mayTakeBack: boolean };

/** Who has had enough may still change what they said. */
const MAY_TAKE_BACK = new Set(["project-not-active", "cap-reached", "daily-cap-reached"]);

/** The refusal in plain words; null for a failure, which is shown as one. */
export function whyNoTask(error: unknown): Why | null {
  if (!(error instanceof ApiProblem) || error.status !== 409) return null;
  if (!Object.hasOwn(en.none, error.type)) return null;
  const type = error.type as Why["type"];
  return { type, detail: error.detail, mayTakeBack: MAY_TAKE_BACK.has(type) };
}
