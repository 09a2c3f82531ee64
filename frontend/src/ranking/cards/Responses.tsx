import { type Dispatch, type ReactNode, useMemo, useRef } from "react";
import type { ShownResponse } from "@/api/types";
import type { Marks } from "../diff/useComparison";
import { useScrollTogether } from "../layout/useScrollTogether";
import type { View } from "../layout/useView";
import { useDomOrder } from "../list/domOrder";
import { LINE, RankList, useLandings, useRankLine } from "../list/RankList";
import { flat, type Ranking, slotOf, slotsOf, type Tiers } from "../order/rankingReducer";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import styles from "./card.module.css";
import layouts from "./layouts.module.css";
import { type CardPlace, RankedItem } from "./ResponseCard";

/**
 * The cards in ranked order, as one flat list keyed by response. If a response changes its tier, only its
 * card moves in the document, and no card is rebuilt. Every layout uses this list. In the two-at-a-time
 * layout, all cards except two are hidden. The hidden cards stay mounted, so that they can be shown without
 * being rendered again.
 */
export function Responses({
  responses,
  ranking,
  letters,
  excerpts,
  raw,
  view,
  two,
  marks,
  dispatch,
  children,
}: {
  responses: readonly ShownResponse[];
  ranking: Ranking;
  letters: ReadonlyMap<string, string>;
  excerpts: ReadonlyMap<string, string>;
  raw: boolean;
  view: View;
  /** The two responses shown; null if all responses are shown. */
  two: readonly string[] | null;
  marks: Marks;
  dispatch: Dispatch<DeskAction>;
  /**
   * Renders the questions about a response. The function stays the same until the answer to one of these
   * questions changes.
   */
  children: (id: string) => ReactNode;
}) {
  const byChoice = ranking.atMost !== null;
  const slots = slotsOf(ranking);
  const apart = view.arrangement !== "column";
  const list = useRef<HTMLOListElement>(null);
  const order = useLandings(ranking);
  useDomOrder(list, order);
  useScrollTogether(list, {
    apart,
    together: view.together,
    order: `${flat(ranking).join()} ${two?.join() ?? ""}`,
  });

  // The questions are rebuilt only when their answers change, so that a move renders only the changed cards.
  const questions = useMemo(
    () =>
      new Map(
        responses.map(({ id }) => {
          const asked = children(id);
          const part = asked && (
            <div className={styles.extra} data-extra>
              {asked}
            </div>
          );
          return [id, part];
        }),
      ),
    [responses, children],
  );

  return (
    <RankList
      order={order}
      axis={view.axis}
      partly={two !== null}
      onDrop={(id, index) => dispatch({ type: "drop", id, index })}
      renderLifted={(id) => (
        <div className={styles.lifted}>
          <span className={styles.letter}>{letters.get(id)}</span>
          <span dir="auto">{excerpts.get(id)}</span>
        </div>
      )}
    >
      {(dragging) => (
        <ol
          ref={list}
          className={apart ? `${styles.list} ${layouts.apart} ${layouts[view.arrangement]}` : styles.list}
          data-dragging={dragging}
          data-layout={view.arrangement}
          data-testid="responses"
        >
          {responses.map(({ id, text }) => (
            <RankedItem
              key={id}
              id={id}
              text={text}
              letter={letters.get(id) ?? "?"}
              {...placeIn(ranking.tiers, id, letters)}
              count={slots}
              current={id === ranking.focus}
              raw={raw}
              marks={marks.get(id)}
              apart={apart}
              hidden={two !== null && !two.includes(id)}
              held={id === view.held}
              onHold={view.arrangement === "focus" && responses.length > 2 ? view.hold : null}
              tiesAllowed={ranking.tiesAllowed}
              canLeaveOut={byChoice}
              dispatch={dispatch}
            >
              {questions.get(id)}
            </RankedItem>
          ))}
          {byChoice && (
            <UnrankedLine ranked={ranking.tiers.flat().length} slots={slots} hidden={two !== null} />
          )}
        </ol>
      )}
    </RankList>
  );
}

const UNRANKED: CardPlace = { slot: 0, slots: 0, tiedWith: "", part: "alone" };

function UnrankedLine({ ranked, slots, hidden }: { ranked: number; slots: number; hidden: boolean }) {
  const texts = useViewTexts();
  const { lineRef, style } = useRankLine();
  return (
    <li
      ref={lineRef}
      style={style}
      className={styles.line}
      hidden={hidden}
      data-place={LINE}
      data-testid="unranked-line"
    >
      <strong>{texts.notRanked}</strong>
      <span>{ranked === 0 ? texts.notRankedYet(slots) : texts.belowRanked}</span>
    </li>
  );
}

function placeIn(tiers: Tiers, id: string, letters: ReadonlyMap<string, string>): CardPlace {
  const slot = slotOf(tiers, id);
  const tier = tiers[slot - 1];
  if (!tier) return UNRANKED;
  const index = tier.indexOf(id);
  const others = tier.filter((other) => other !== id).map((other) => letters.get(other));
  const middle = index > 0 && index < tier.length - 1;
  return {
    slot,
    slots: tiers.length,
    tiedWith: others.join(", "),
    part: tier.length === 1 ? "alone" : middle ? "middle" : index === 0 ? "first" : "last",
  };
}
