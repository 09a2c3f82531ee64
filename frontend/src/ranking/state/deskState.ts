import type { AnswerForm, Assignment } from "@/api/types";
import { type AnswerFields, restore } from "../answer/answer";
import { announce, type OrderTexts } from "../order/announce";
import { type Ranking, type RankingAction, reduce } from "../order/rankingReducer";
import { isVerdict, positionOf, type Side, sidesOf, sideWords, stepFrom, tiersOf } from "../order/sides";

export type DeskState = {
  readonly form: AnswerForm;
  readonly shownOrder: readonly string[];
  readonly ranking: Ranking;
  readonly fields: AnswerFields;
  /**
   * The text that screen readers read aloud from the live region. `turn` distinguishes two announcements with
   * the same text.
   */
  readonly spoken: { readonly text: string; readonly turn: number };
};

export type DeskAction =
  | RankingAction
  | { type: "fields"; change: Partial<AnswerFields> }
  /** For a pair: chooses this position on the scale (1 = leftmost). */
  | { type: "pick"; position: number }
  | { type: "pickBy"; by: -1 | 1 }
  | { type: "say"; text: string };

export function openDesk(assignment: Assignment, draft: unknown): DeskState {
  const { ranking, fields } = restore(assignment, draft);
  return {
    form: assignment.form,
    shownOrder: assignment.responses.map((response) => response.id),
    ranking,
    fields,
    spoken: { text: "", turn: 0 },
  };
}

export function deskReducer(state: DeskState, action: DeskAction, texts: OrderTexts): DeskState {
  const say = (text: string) => (text ? { text, turn: state.spoken.turn + 1 } : state.spoken);
  switch (action.type) {
    case "fields":
      return { ...state, fields: { ...state.fields, ...action.change } };
    case "say":
      return { ...state, spoken: say(action.text) };
    case "pick":
    case "pickBy": {
      const sides = sidesOf(state.form);
      const now = positionOf(sides, state.shownOrder, state.ranking.tiers, state.fields);
      const side = sides[action.type === "pick" ? action.position - 1 : stepFrom(sides, now, action.by)];
      return side ? { ...picked(state, side), spoken: say(`${sideWords(side, texts)}.`) } : state;
    }
    default: {
      const ranking = reduce(state.ranking, action);
      const said = announce(state.ranking, action, ranking, state.shownOrder, texts);
      return { ...state, ranking, spoken: say(said) };
    }
  }
}

function picked(state: DeskState, side: Side): DeskState {
  const tiers = tiersOf(side, state.shownOrder, state.form);
  // If the form requires an order even for two bad responses, "both are bad" is a separate question. The
  // answer to that question is kept.
  const all_bad = isVerdict(state.form) ? side.allBad : state.fields.all_bad;
  return {
    ...state,
    ranking: reduce(state.ranking, { type: "judge", tiers }),
    fields: { ...state.fields, strength: side.strength, all_bad, not_rankable: false },
  };
}
