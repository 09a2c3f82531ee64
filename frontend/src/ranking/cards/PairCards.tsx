import { type Dispatch, type ReactNode, useRef } from "react";
import type { ShownResponse } from "@/api/types";
import { Markdown } from "@/shared/markdown/Markdown";
import { Icon } from "@/shared/ui/Icon";
import { Marked } from "../diff/Marked";
import type { Marks } from "../diff/useComparison";
import { useScrollTogether } from "../layout/useScrollTogether";
import type { View } from "../layout/useView";
import type { Tiers } from "../order/rankingReducer";
import { slotOf } from "../order/rankingReducer";
import type { DeskAction } from "../state/deskState";
import { useViewTexts } from "../texts/view";
import card from "./card.module.css";
import layouts from "./layouts.module.css";
import styles from "./pair.module.css";

/** Two responses at fixed positions. Annotators choose the order on the scale below the responses. */
export function PairCards({
  responses,
  tiers,
  focus,
  letters,
  raw,
  view,
  marks,
  dispatch,
  children,
}: {
  responses: readonly ShownResponse[];
  /** The chosen order; empty until the annotator chooses a position on the scale. */
  tiers: Tiers;
  focus: string;
  letters: ReadonlyMap<string, string>;
  raw: boolean;
  view: View;
  marks: Marks;
  dispatch: Dispatch<DeskAction>;
  children: (id: string) => ReactNode;
}) {
  const texts = useViewTexts();
  const list = useRef<HTMLUListElement>(null);
  const apart = view.arrangement !== "column";
  useScrollTogether(list, { apart, together: view.together, order: "" });
  return (
    <ul
      ref={list}
      className={apart ? `${styles.cards} ${layouts.apart} ${layouts.focus}` : styles.cards}
      data-layout={view.arrangement}
      data-testid="responses"
    >
      {responses.map(({ id, text }) => {
        const letter = letters.get(id) ?? "?";
        const slot = slotOf(tiers, id);
        const better = tiers.length === 2 && slot === 1;
        const words = better ? texts.better : slot === 1 ? texts.asGood : "";
        const extra = children(id);
        const current = id === focus;
        const mark = marks.get(id);
        return (
          <li key={id}>
            <article
              className={`${card.card} ${styles.card}`}
              data-testid="response-card"
              data-response-id={id}
              data-rank={slot}
              data-current={current}
              data-better={better}
              aria-label={words ? texts.card(letter, words) : texts.ofPair(letter)}
              aria-current={current}
              tabIndex={current ? 0 : -1}
              onFocus={() => dispatch({ type: "focus", id })}
              onPointerDown={() => dispatch({ type: "focus", id })}
            >
              <header className={styles.head}>
                <span className={card.letter} aria-hidden="true">
                  {letter}
                </span>
                {better && (
                  <span className={styles.better} aria-hidden="true">
                    <Icon name="check" size={14} /> {words}
                  </span>
                )}
              </header>
              <div className={styles.text} data-testid="response-text">
                {mark ? <Marked key={mark.of} {...mark} /> : <Markdown text={text} raw={raw} />}
              </div>
              {extra && (
                <div className={card.extra} data-extra>
                  {extra}
                </div>
              )}
            </article>
          </li>
        );
      })}
    </ul>
  );
}
