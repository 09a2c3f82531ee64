import { useEffect, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { AnswerForm, FormEffect } from "@/api/types";
import { checkForm } from "./api/forms";

/** Delay before a check. The delay gives users time to finish typing a word. */
const PAUSE_MS = 300;

export type FormCheck = {
  /** True if the result is for the current form, not for an earlier version. */
  readonly settled: boolean;
  readonly effect: FormEffect | null;
  /**
   * Errors by path within the form, such as `ratings.0.max`. Errors about the whole form have the key `""`.
   */
  readonly problems: Readonly<Record<string, string>>;
  /** Set if the check failed for a reason other than errors in the form. */
  readonly failure: ApiProblem | null;
};

const NOTHING_YET: FormCheck = { settled: false, effect: null, problems: {}, failure: null };

/** Validates the edited form on the server. The previous result is kept until the next result arrives. */
export function useFormCheck(slug: string, form: AnswerForm): FormCheck {
  const [check, setCheck] = useState(NOTHING_YET);
  useEffect(() => {
    const abort = new AbortController();
    setCheck((now) => (now.settled ? { ...now, settled: false } : now));
    const timer = setTimeout(() => {
      checkForm(slug, form, abort.signal).then(
        (effect) => !abort.signal.aborted && setCheck({ settled: true, effect, problems: {}, failure: null }),
        (error: unknown) => !abort.signal.aborted && setCheck(refusedFor(error)),
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [slug, form]);
  return check;
}

function refusedFor(error: unknown): FormCheck {
  const problem = error instanceof ApiProblem ? error : null;
  const problems = problem ? problemsByPath(problem) : {};
  const failure = problem && Object.keys(problems).length === 0 ? problem : null;
  return { settled: true, effect: null, problems, failure };
}

/** The errors by path within the form: `form.ratings.0.max` becomes `ratings.0.max`; `form` becomes `""`. */
function problemsByPath(problem: ApiProblem): Record<string, string> {
  return Object.fromEntries(
    Object.entries(problem.byField()).map(([field, reason]) => [field.replace(/^form\.?/, ""), reason]),
  );
}
