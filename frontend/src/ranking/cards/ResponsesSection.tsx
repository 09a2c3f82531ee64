import type { Dispatch, ReactNode, Ref } from "react";
import type { AnswerForm, ShownResponse } from "@/api/types";
import styles from "../desk/desk.module.css";
import { useComparison } from "../diff/useComparison";
import { twoShown } from "../layout/layouts";
import type { View } from "../layout/useView";
import { flat } from "../order/ranking";
import { isPairForm, type Side } from "../order/sides";
import type { DeskAction, DeskState } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import { PairCards } from "./PairCards";
import { PairScale } from "./PairScale";
import { Responses } from "./Responses";
import { ViewBar } from "./ViewBar";

type Props = {
  form: AnswerForm;
  responses: readonly ShownResponse[];
  desk: DeskState;
  sides: readonly Side[];
  /** Where on the pair's scale the answer stands; −1: nowhere yet. */
  position: number;
  letters: ReadonlyMap<string, string>;
  excerpts: ReadonlyMap<string, string>;
  raw: boolean;
  view: View;
  /** The keys that act on them, in words. */
  keys?: ReactNode;
  dispatch: Dispatch<DeskAction>;
  ref?: Ref<HTMLElement>;
  /** The questions about one response. */
  children: (id: string) => ReactNode;
};

/** What is ordered: two responses over a scale, or cards in ranked order. */
export function ResponsesSection({
  form,
  responses,
  desk: { ranking, fields, shownOrder },
  sides,
  position,
  letters,
  excerpts,
  raw,
  view,
  keys,
  dispatch,
  ref,
  children,
}: Props) {
  const texts = useViewTexts();
  const pair = isPairForm(form);
  const pairShown = twoShown(pair ? shownOrder : flat(ranking), ranking.focus, view.held);
  const { marks, compared } = useComparison(responses, view.comparing ? pairShown : null);
  const shared = { responses, letters, raw, view, marks, dispatch, children };
  return (
    <section className={styles.responses} aria-label={texts.responses} ref={ref}>
      <h2 className="visually-hidden">{pair ? texts.twoResponses : texts.bestFirst}</h2>
      <ViewBar view={view} focus={ranking.focus} letters={letters} compared={compared} />
      {keys}
      {pair ? (
        <>
          <PairCards {...shared} tiers={position < 0 ? [] : ranking.tiers} focus={ranking.focus} />
          <PairScale sides={sides} position={position} required={!fields.not_rankable} dispatch={dispatch} />
        </>
      ) : (
        <Responses
          {...shared}
          ranking={ranking}
          excerpts={excerpts}
          two={view.arrangement === "focus" ? pairShown : null}
        />
      )}
    </section>
  );
}
