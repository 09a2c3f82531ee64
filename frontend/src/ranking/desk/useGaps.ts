import { useState } from "react";
import { missing } from "../answer/answer";
import { useAnswerTexts } from "../texts/answer";
import type { DeskModel } from "./useDesk";

/**
 * The unanswered questions. If a required question is unanswered, the answer can't be submitted. Unanswered
 * optional questions stop only the first attempt to submit and are then shown.
 */
export function useGaps({ assignment: { form }, state: { fields, ranking }, letters }: DeskModel) {
  const gaps = missing(form, fields, ranking, letters, useAnswerTexts().gaps);
  const blocking = gaps.some(({ required }) => required);
  const [shown, setShown] = useState(false);

  /**
   * Returns whether the answer can be submitted now. If it cannot, the page starts to show the unanswered
   * questions.
   */
  function pass(): boolean {
    const passes = gaps.length === 0 || (shown && !blocking);
    if (!passes) setShown(true);
    return passes;
  }

  return { gaps, blocking, shown, pass };
}

export type Gaps = ReturnType<typeof useGaps>;
