import { type Dispatch, type ReactNode, useCallback, useMemo } from "react";
import type { AnswerForm, ShownResponse } from "@/api/types";
import { ResponseFields } from "../fields/AnswerFields";
import { isPairForm, positionOf, sidesOf } from "../order/sides";
import type { DeskAction, DeskState } from "../state/deskState";

/** What a desk's state says under the form, and the questions about each response: wherever people answer one. */
export function useVerdict(
  form: AnswerForm,
  responses: readonly ShownResponse[],
  { ranking, fields, shownOrder }: DeskState,
  letters: ReadonlyMap<string, string>,
  dispatch: Dispatch<DeskAction>,
) {
  const sides = useMemo(() => sidesOf(form), [form]);
  const pair = isPairForm(form);
  const position = fields.not_rankable ? -1 : positionOf(sides, shownOrder, ranking.tiers, fields);
  const top = position < 0 && pair ? undefined : ranking.tiers[0];
  const best = responses.find(({ id }) => top?.length === 1 && top[0] === id)?.text ?? null;
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
  return { pair, sides, position, top, best, questionsAbout };
}
