import { useState } from "react";
import { missing } from "../answer/answer";
import { useAnswerTexts } from "../texts/answer";
import type { DeskModel } from "./useDesk";

/**
 * The questions without an answer. Required ones block submitting; the others are shown on the first attempt and left out on
 * the second.
 */
export function useGaps({ assignment: { form }, state: { fields, ranking }, letters }: DeskModel) {
  const gaps = missing(form, fields, ranking, letters, useAnswerTexts().gaps);
  const blocking = gaps.some(({ required }) => required);
  const [shown, setShown] = useState(false);

  /** Whether the answer can be submitted now; if it can't, the gaps are shown from here on. */
  function pass(): boolean {
    const passes = gaps.length === 0 || (shown && !blocking);
    if (!passes) setShown(true);
    return passes;
  }

  return { gaps, blocking, shown, pass };
}

export type Gaps = ReturnType<typeof useGaps>;
