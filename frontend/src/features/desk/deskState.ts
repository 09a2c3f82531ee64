import type { Assignment } from "@/api/types";
import { type AnswerFields, restore } from "./answer";
import { announce } from "./ranking/announce";
import { type Ranking, type RankingAction, reduce } from "./ranking/ranking";

export type DeskState = {
  readonly shownOrder: readonly string[];
  readonly ranking: Ranking;
  readonly fields: AnswerFields;
  /** Said aloud by the live region; `turn` makes the same words said twice two events. */
  readonly spoken: { readonly text: string; readonly turn: number };
};

export type DeskAction =
  | RankingAction
  | { type: "fields"; change: Partial<AnswerFields> }
  | { type: "say"; text: string };

export function openDesk(assignment: Assignment, draft: unknown): DeskState {
  const { ranking, fields } = restore(assignment, draft);
  return {
    shownOrder: assignment.responses.map((response) => response.id),
    ranking,
    fields,
    spoken: { text: "", turn: 0 },
  };
}

export function deskReducer(state: DeskState, action: DeskAction): DeskState {
  if (action.type === "fields") return { ...state, fields: { ...state.fields, ...action.change } };
  const say = (text: string) => (text ? { text, turn: state.spoken.turn + 1 } : state.spoken);
  if (action.type === "say") return { ...state, spoken: say(action.text) };
  const ranking = reduce(state.ranking, action);
  return { ...state, ranking, spoken: say(announce(state.ranking, action, ranking, state.shownOrder)) };
}
