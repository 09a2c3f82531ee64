import type { Dispatch, ReactNode } from "react";
import { Icon } from "@/shared/ui/Icon";
import { letterOf } from "../order/announce";
import type { Ranking } from "../order/rankingReducer";
import type { DeskAction } from "../state/deskState";
import { useOrderTexts } from "../texts/order";
import { RankList, useLandings, useRankItem, useRankLine } from "./RankList";
import styles from "./standings.module.css";

type Props = {
  ranking: Ranking;
  shownOrder: readonly string[];
  texts: ReadonlyMap<string, string>;
  dispatch: Dispatch<DeskAction>;
};

function Line({
  id,
  letter,
  text,
  current,
  dispatch,
}: {
  id: string;
  letter: string;
  text: string;
  current: boolean;
  dispatch: Dispatch<DeskAction>;
}) {
  const words = useOrderTexts();
  const { itemRef, handleRef, handleProps, style, isDragging } = useRankItem(id);
  return (
    <li ref={itemRef} style={style} className={styles.line} data-current={current} data-lifted={isDragging}>
      <button
        type="button"
        ref={handleRef}
        className={styles.grip}
        aria-label={words.drag(letter)}
        {...handleProps}
      >
        <Icon name="grip" size={14} />
      </button>
      <button
        type="button"
        className={styles.jump}
        data-response-id={id}
        onClick={() => dispatch({ type: "focus", id })}
      >
        <span className="visually-hidden">{words.goTo(letter)}</span>
        <b aria-hidden="true">{letter}</b>
        <span className={styles.excerpt} dir="auto">
          {text}
        </span>
      </button>
    </li>
  );
}

function Unranked({ children }: { children: ReactNode }) {
  const { notRanked } = useOrderTexts();
  const { lineRef, style } = useRankLine();
  return (
    <li className={styles.unranked} aria-label={notRanked}>
      <p ref={lineRef} style={style}>
        {notRanked}
      </p>
      <ul>{children}</ul>
    </li>
  );
}

/**
 * An overview of the order with one line per response. Because the lines are short, users can quickly jump to
 * a response or drag one.
 */
export function Standings({ ranking, shownOrder, texts, dispatch }: Props) {
  const words = useOrderTexts();
  const order = useLandings(ranking);
  const byChoice = ranking.atMost !== null;
  const line = (id: string) => (
    <Line
      key={id}
      id={id}
      letter={letterOf(shownOrder, id)}
      text={texts.get(id) ?? ""}
      current={id === ranking.focus}
      dispatch={dispatch}
    />
  );
  return (
    <RankList
      order={order}
      onDrop={(id, index) => dispatch({ type: "drop", id, index })}
      renderLifted={(id) => (
        <div className={`${styles.line} ${styles.carried}`}>
          <span className={styles.grip}>
            <Icon name="grip" size={14} />
          </span>
          <span className={styles.jump}>
            <b>{letterOf(shownOrder, id)}</b>
            <span className={styles.excerpt} dir="auto">
              {texts.get(id)}
            </span>
          </span>
        </div>
      )}
    >
      {() => (
        <ol className={styles.slots} aria-label={words.whole}>
          {ranking.tiers.map((tier, index) => (
            <li
              key={tier[0]}
              className={styles.slot}
              data-testid="rank-slot"
              data-rank={index + 1}
              data-tie={tier.length > 1}
              aria-label={(tier.length > 1 ? words.rankOfTie : words.rank)(index + 1)}
            >
              <span className={styles.number} aria-hidden="true">
                {index + 1}
              </span>
              <ul>{tier.map(line)}</ul>
            </li>
          ))}
          {byChoice && <Unranked>{ranking.unranked.map(line)}</Unranked>}
        </ol>
      )}
    </RankList>
  );
}
