import type { Dispatch, ReactNode } from "react";
import type { ShownResponse } from "@/api/types";
import type { DeskAction } from "../deskState";
import type { Ranking } from "../ranking/ranking";
import styles from "./card.module.css";
import { landings, RankList, useRankLine } from "./RankList";
import { type CardPlace, ResponseCard } from "./ResponseCard";

/** The cards in ranked order: one flat list keyed by response, so a card that changes tier moves and is not built anew. */
export function Responses({
  responses,
  ranking,
  letters,
  excerpts,
  raw,
  dispatch,
  children,
}: {
  responses: readonly ShownResponse[];
  ranking: Ranking;
  letters: ReadonlyMap<string, string>;
  excerpts: ReadonlyMap<string, string>;
  raw: boolean;
  dispatch: Dispatch<DeskAction>;
  /** Questions asked about each response. */
  children: (id: string) => ReactNode;
}) {
  const texts = new Map(responses.map(({ id, text }) => [id, text]));
  const byChoice = ranking.atMost !== null;
  const slots = Math.min(ranking.atMost ?? responses.length, responses.length);
  const card = (id: string, place: CardPlace) => {
    const extra = children(id);
    return (
      <ResponseCard
        key={id}
        id={id}
        text={texts.get(id) ?? ""}
        letter={letters.get(id) ?? "?"}
        place={place}
        count={slots}
        current={id === ranking.focus}
        raw={raw}
        tiesAllowed={ranking.tiesAllowed}
        canLeaveOut={byChoice}
        dispatch={dispatch}
      >
        {extra && <div className={styles.extra}>{extra}</div>}
      </ResponseCard>
    );
  };
  return (
    <RankList
      order={landings(ranking.tiers.flat(), ranking.unranked, byChoice)}
      onDrop={(id, index) => dispatch({ type: "drop", id, index })}
      renderLifted={(id) => (
        <div className={styles.lifted}>
          <span className={styles.letter}>{letters.get(id)}</span>
          <span>{excerpts.get(id)}</span>
        </div>
      )}
    >
      {(dragging) => (
        <ol className={styles.list} data-dragging={dragging}>
          {ranking.tiers.flatMap((tier, tierIndex) =>
            tier.map((id, index) => card(id, placeIn(tier, index, tierIndex, ranking.tiers.length, letters))),
          )}
          {byChoice && <UnrankedLine ranked={ranking.tiers.flat().length} slots={slots} />}
          {ranking.unranked.map((id) => card(id, UNRANKED))}
        </ol>
      )}
    </RankList>
  );
}

const UNRANKED: CardPlace = { slot: 0, slots: 0, tiedWith: "", part: "alone" };

function UnrankedLine({ ranked, slots }: { ranked: number; slots: number }) {
  const { lineRef, style } = useRankLine();
  return (
    <li ref={lineRef} style={style} className={styles.line} data-testid="unranked-line">
      <strong>Not ranked</strong>
      <span>
        {ranked === 0
          ? `Put ${slots === 1 ? "the best one" : `up to ${slots} of the best`} into slots; the others stay here, in no order.`
          : "Below all that is ranked, in no order."}
      </span>
    </li>
  );
}

function placeIn(
  tier: readonly string[],
  index: number,
  tierIndex: number,
  slots: number,
  letters: ReadonlyMap<string, string>,
): CardPlace {
  const others = tier.filter((_, other) => other !== index).map((id) => letters.get(id));
  const middle = index > 0 && index < tier.length - 1;
  return {
    slot: tierIndex + 1,
    slots,
    tiedWith: others.join(", "),
    part: tier.length === 1 ? "alone" : middle ? "middle" : index === 0 ? "first" : "last",
  };
}
