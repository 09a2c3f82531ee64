import type { Answer } from "@/api/types";
import { type Draft, toAnswer, toDraft } from "../answer/answer";
import type { DeskModel } from "./useDesk";

export function draftOn({ state }: DeskModel, activeMs: number): Draft {
  return toDraft(state.ranking, state.fields, activeMs);
}

/** Converts the state of the desk to a submission. */
export function answerOn(desk: DeskModel, activeMs: number): Answer {
  const { form, token } = desk.assignment;
  return toAnswer(draftOn(desk, activeMs), token, form, desk.state.shownOrder);
}
