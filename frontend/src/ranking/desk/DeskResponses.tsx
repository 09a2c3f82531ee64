import type { ReactNode, Ref } from "react";
import { PairCards } from "../cards/PairCards";
import { PairScale } from "../cards/PairScale";
import { Responses } from "../cards/Responses";
import { ViewBar } from "../cards/ViewBar";
import { useComparison } from "../diff/useComparison";
import { twoShown } from "../layout/layouts";
import { flat } from "../order/rankingReducer";
import { useViewTexts } from "../texts/view";
import styles from "./desk.module.css";
import type { DeskModel } from "./useDesk";

type Props = {
  desk: DeskModel;
  raw?: boolean;
  /** The line of shortcuts, shown above the cards. */
  keys?: ReactNode;
  ref?: Ref<HTMLElement>;
};

/** The responses: either two above a scale, or cards in ranked order. */
export function DeskResponses({ desk, raw = false, keys, ref }: Props) {
  const texts = useViewTexts();
  const { assignment, state, dispatch, letters, pair, sides, position, view, questionsAbout } = desk;
  const { responses } = assignment;
  const { ranking, fields, shownOrder } = state;
  const pairShown = twoShown(pair ? shownOrder : flat(ranking), ranking.focus, view.held);
  const { marks, compared } = useComparison(responses, view.comparing ? pairShown : null);
  const shared = { responses, letters, raw, view, marks, dispatch, children: questionsAbout };
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
          excerpts={desk.excerpts}
          two={view.arrangement === "focus" ? pairShown : null}
        />
      )}
    </section>
  );
}
