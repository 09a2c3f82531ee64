import { useState } from "react";
import { missing } from "../answer/answer";
import { useAnswerTexts } from "../texts/answer";
import type { DeskModel } from "./useDesk";

/**
 * The unanswered questions. Required questions block submission; optional questions are shown on the first
 * attempt to submit and skipped on the second.
 */
export function useGaps({ assignment: { form }, state: { fields, ranking }, letters }: DeskModel) {
  const gaps = missing(form, fields, ranking, letters, useAnswerTexts().gaps);
  const blocking = gaps.some(({ required }) => required);
  const [shown, setShown] = useState(false);

  /**
   * Returns whether the answer can be submitted now. If not, the unanswered questions are shown from then on.
   */
  function pass(): boolean {
    const passes = gaps.length === 0 || (shown && !blocking);
    if (!passes) setShown(true);
    return passes;
  }

  return { gaps, blocking, shown, pass };
}

export type Gaps = ReturnType<typeof useGaps>;
