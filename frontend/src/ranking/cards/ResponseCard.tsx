import { type CSSProperties, type Dispatch, memo, type ReactNode } from "react";
import { Markdown } from "@/shared/markdown/Markdown";
import { Icon } from "@/shared/ui/Icon";
import { Marked } from "../diff/Marked";
import type { Mark } from "../diff/useComparison";
import { type Handle, useRankItem } from "../list/RankList";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import { CardSlots, CardTools } from "./CardTools";
import styles from "./card.module.css";

export type CardPlace = {
  slot: number;
  slots: number;
  /** The letters of the other responses in the same tie. */
  tiedWith: string;
  /** The position of the card within its tie, for the bracket that joins tied cards. */
  part: "alone" | "first" | "middle" | "last";
};

const MANY_SLOTS = 5;

const LINE_PX = 24;
const LETTERS_OF_A_LINE = 66;

/**
 * A rough estimate of a text's height. Without an estimate, the cards would have no height at first. The
 * browser would then consider all cards visible and lay them all out before a task's first frame.
 */
const likelyHeight = (text: string) => `${Math.ceil(text.length / LETTERS_OF_A_LINE) * LINE_PX}px`;

type CardProps = CardPlace & {
  id: string;
  text: string;
  letter: string;
  count: number;
  current: boolean;
  raw: boolean;
  /** In a comparison: the parts that occur only in this response. */
  marks: Mark | undefined;
  held: boolean;
  /** Keeps the response in view; null if the layout does not allow this. */
  onHold: ((id: string) => void) | null;
  tiesAllowed: boolean;
  /** Whether this response can stay unranked, as in a ranking of the best few. */
  canLeaveOut: boolean;
  dispatch: Dispatch<DeskAction>;
  children?: ReactNode;
};

type Props = CardProps & {
  /** Whether the card is next to other cards and has its own scroll position. */
  apart: boolean;
  hidden: boolean;
};

/**
 * A response in the list, with its rank and its card. Only this component subscribes to the drag library,
 * which notifies all its subscribers whenever any response moves.
 */
export const RankedItem = memo(function RankedItem({ apart, hidden, ...card }: Props) {
  const { id, slot, part } = card;
  const { itemRef, handleRef, handleProps, style, isDragging, isOver } = useRankItem(id);
  const texts = useViewTexts();
  return (
    <li
      ref={itemRef}
      style={style}
      className={styles.item}
      data-place={id}
      data-part={part}
      data-unranked={slot === 0}
      data-lifted={isDragging}
      data-over={isOver}
      hidden={hidden}
    >
      <div className={styles.gutter} data-gutter aria-hidden="true">
        {(apart || part === "alone" || part === "first") && (
          <div className={styles.rankMark}>
            <span className={styles.rank}>{slot || "–"}</span>
            {part !== "alone" && <span className={styles.tieWord}>{texts.tie}</span>}
          </div>
        )}
      </div>
      <ResponseCard {...card} handleRef={handleRef} handleProps={handleProps} />
    </li>
  );
});

/**
 * The card can receive the focus, so that a screen reader reads the response. Keyboard shortcuts act on the current
 * card, no matter which part of the desk has the focus.
 */
const ResponseCard = memo(function ResponseCard({
  id,
  text,
  letter,
  slot,
  slots,
  tiedWith,
  part,
  count,
  current,
  raw,
  marks,
  held,
  onHold,
  tiesAllowed,
  canLeaveOut,
  dispatch,
  handleRef,
  handleProps,
  children,
}: CardProps & Handle) {
  const texts = useViewTexts();
  const of = { id, letter, dispatch };
  const tied = part !== "alone";
  const tiedWords = tiedWith && texts.tiedWith(tiedWith);
  const where = slot === 0 ? texts.unranked : texts.rankOf(slot, slots) + (tiedWords && `, ${tiedWords}`);
  return (
    <article
      className={styles.card}
      data-testid="response-card"
      data-response-id={id}
      data-rank={slot}
      data-current={current}
      aria-label={texts.card(letter, where)}
      aria-current={current}
      tabIndex={current ? 0 : -1}
      onFocus={() => dispatch({ type: "focus", id })}
      onPointerDown={() => dispatch({ type: "focus", id })}
    >
      <header className={styles.head} data-many={count > MANY_SLOTS}>
        <button
          type="button"
          ref={handleRef}
          className={styles.handle}
          aria-label={texts.drag(letter)}
          title={texts.dragHint}
          {...handleProps}
        >
          <Icon name="grip" />
        </button>
        <span className={styles.letter} aria-hidden="true">
          {letter}
        </span>
        {tied && <span className={styles.tied}>{tiedWords}</span>}
        {held && <span className={styles.tied}>{texts.keptInView}</span>}
        <div className={styles.tools}>
          <CardSlots {...of} slot={slot} count={count} canLeaveOut={canLeaveOut} />
          <CardTools {...of} tied={tied} held={held} onHold={onHold} tiesAllowed={tiesAllowed} />
        </div>
      </header>
      <div
        className={styles.text}
        style={{ "--likely-height": likelyHeight(text) } as CSSProperties}
        data-testid="response-text"
      >
        {marks ? <Marked key={marks.of} {...marks} /> : <Markdown text={text} raw={raw} />}
      </div>
      {children}
    </article>
  );
});
