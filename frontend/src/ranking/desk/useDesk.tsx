import { type ReactNode, useCallback, useMemo } from "react";
import type { Assignment } from "@/api/types";
import { ResponseFields } from "../fields/AnswerFields";
import type { Mode } from "../keys/shortcuts";
import type { Memory } from "../layout/remembered";
import { useView } from "../layout/useView";
import { isPairForm, positionOf, sidesOf } from "../order/sides";
import { useDeskState } from "../state/useDeskState";
import { useLabels } from "../state/useLabels";

/**
 * The state of one task: the answer so far, the values derived from it (such as the best response), and the
 * view of the responses. The annotator's desk, the reviewer's desk and the form preview use this hook.
 * `draft` is read once, when the desk opens.
 */
export function useDesk(assignment: Assignment, draft: unknown, memory: Memory) {
  const { form, responses } = assignment;
  const [state, dispatch] = useDeskState(assignment, draft);
  const { ranking, fields, shownOrder } = state;
  const { letters, excerpts } = useLabels(responses, shownOrder);
  const pair = isPairForm(form);
  const mode: Mode = pair ? "pair" : form.top_k ? "best" : "order";
  const sides = useMemo(() => sidesOf(form), [form]);
  /** The chosen position on the scale for a pair; -1 if none is chosen. */
  const position = fields.not_rankable ? -1 : positionOf(sides, shownOrder, ranking.tiers, fields);
  const top = pair && position < 0 ? undefined : ranking.tiers[0];
  /** The text of the best response, if exactly one is best. */
  const best = responses.find(({ id }) => top?.length === 1 && top[0] === id)?.text ?? null;
  const view = useView(pair, dispatch, memory);
  // The function stays the same until a rating or a flag changes. Therefore, moving a response redraws only
  // the changed cards.
  const questionsAbout = useCallback(
    (id: string): ReactNode =>
      form.ratings.length + form.flags.length > 0 && (
        <ResponseFields
          responseId={id}
          letter={letters.get(id) ?? ""}
          form={form}
          fields={fields}
          dispatch={dispatch}
        />
      ),
    [form, fields, letters, dispatch],
  );
  return {
    assignment,
    state,
    dispatch,
    letters,
    excerpts,
    pair,
    mode,
    sides,
    position,
    top,
    best,
    view,
    questionsAbout,
  };
}

export type DeskModel = ReturnType<typeof useDesk>;
