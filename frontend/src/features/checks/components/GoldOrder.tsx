import { Button } from "@mantine/core";
import { type Dispatch, useState } from "react";
import type { TaskDetail } from "@/api/types";
import { letterOf } from "@/ranking/order/announce";
import type { Ranking, RankingAction } from "@/ranking/order/rankingReducer";
import { Markdown } from "@/shared/markdown/Markdown";
import { Icon } from "@/shared/ui/Icon";
import { useTexts } from "../texts";
import styles from "./checks.module.css";

/**
 * Maximum length of a response that is shown in full, in characters. Longer responses are collapsed. If each
 * of ten responses showed 4,000 characters, their order would be hard to see.
 */
const FOLD_CHARS = 500;

/** The responses in ranked order. Moves are handled by the desk's reducer. */
export function GoldOrder({
  responses,
  ranking,
  dispatch,
}: {
  responses: TaskDetail["responses"];
  ranking: Ranking;
  dispatch: Dispatch<RankingAction>;
}) {
  const t = useTexts().dialog;
  const ids = responses.map(({ id }) => id);
  return (
    <ol className={styles.order} aria-label={t.order}>
      {ranking.tiers.flatMap((tier, index) =>
        tier.map((id) => {
          const response = responses.find((one) => one.id === id);
          const letter = letterOf(ids, id);
          const tied = tier.length > 1;
          return (
            <li key={id} className={styles.response} data-testid="gold-response" data-rank={index + 1}>
              <div className={styles.head}>
                <strong className={styles.rank}>
                  <span className="visually-hidden">{t.rank(index + 1)}: </span>
                  <span aria-hidden="true">{index + 1}</span>
                </strong>
                <span>
                  {letter}
                  {tied && <span className={styles.dim}> · {t.tied}</span>}
                </span>
                {response?.model_name && (
                  <span className={styles.model}>
                    {t.by} {response.model_name}
                  </span>
                )}
                <div className={styles.tools}>
                  <button
                    type="button"
                    aria-label={tied ? t.untie(letter) : t.tie(letter)}
                    aria-pressed={tied}
                    onClick={() => dispatch({ type: "tie", id })}
                  >
                    <Icon name="tie" />
                  </button>
                  <button
                    type="button"
                    aria-label={t.up(letter)}
                    onClick={() => dispatch({ type: "move", id, by: -1 })}
                  >
                    <Icon name="up" />
                  </button>
                  <button
                    type="button"
                    aria-label={t.down(letter)}
                    onClick={() => dispatch({ type: "move", id, by: 1 })}
                  >
                    <Icon name="down" />
                  </button>
                </div>
              </div>
              <Folded text={response?.text ?? ""} />
            </li>
          );
        }),
      )}
    </ol>
  );
}

function Folded({ text }: { text: string }) {
  const t = useTexts().dialog;
  const [open, setOpen] = useState(false);
  const long = text.length > FOLD_CHARS;
  return (
    <div className={styles.text}>
      <div className={styles.fold} data-folded={long && !open}>
        <Markdown text={text} />
      </div>
      {long && (
        <Button size="compact-xs" variant="subtle" onClick={() => setOpen(!open)} aria-expanded={open}>
          {open ? t.less : t.more}
        </Button>
      )}
    </div>
  );
}
