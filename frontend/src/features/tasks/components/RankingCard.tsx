import { Link } from "@tanstack/react-router";
import type { RankingGiven } from "@/api/types";
import { duration, moment, words } from "@/shared/format";
import { Markdown } from "@/shared/markdown/Markdown";
import { Badge } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { placesOf } from "../answer";
import { useTexts } from "../texts";
import styles from "./task.module.css";

function Order({ ranking, letters }: { ranking: RankingGiven; letters: ReadonlyMap<string, string> }) {
  const { task: texts, list } = useTexts();
  const { tiers, unranked } = placesOf(ranking, letters);
  if (ranking.not_rankable) return <p>{list.notRankable}</p>;
  if (tiers.length === 0 && !ranking.all_bad) return <p>{list.noOrder}</p>;
  return (
    <ol className={styles.order}>
      {tiers.map((tier, index) => (
        <li key={tier.join()} aria-label={`${texts.tier(index + 1)}: ${tier.join(", ")}`}>
          <span aria-hidden="true">{index + 1}</span> <b>{tier.join(" = ")}</b>
        </li>
      ))}
      {unranked.length > 0 && (
        <li className={ui.dim}>
          {texts.left}: {unranked.join(", ")}
        </li>
      )}
    </ol>
  );
}

/** One answer with its author, its date and its status (for example, excluded). */
export function RankingCard({
  ranking,
  slug,
  letters,
}: {
  ranking: RankingGiven;
  slug: string;
  letters: ReadonlyMap<string, string>;
}) {
  const { task: texts, list } = useTexts();
  const letter = (id: string) => letters.get(id) ?? "?";
  const flags = Object.entries(ranking.flags as Record<string, string[]>);
  const ratings = Object.entries(ranking.ratings as Record<string, Record<string, number>>);
  const choices = Object.entries(ranking.choices as Record<string, string>);
  const given = ranking.given_at ?? ranking.created_at;
  return (
    <li className={styles.ranking} data-counts={ranking.counts && !ranking.superseded}>
      <header>
        {ranking.by ? (
          <Link
            to="/projects/$slug/tasks"
            params={{ slug }}
            search={{ list: "rankings", annotator: ranking.by }}
            title={texts.others(ranking.by)}
          >
            {ranking.by}
          </Link>
        ) : (
          "–"
        )}
        <time dateTime={given} className={ui.dim}>
          {moment(given)}
        </time>
        {ranking.duration_ms !== null && (
          <span className={ui.dim}>{duration(ranking.duration_ms / 1000)}</span>
        )}
        {ranking.kind === "review" && <Badge tone="info">{texts.decision}</Badge>}
        {ranking.source === "import" && <Badge tone="neutral">{texts.imported}</Badge>}
        {ranking.superseded && <Badge tone="neutral">{texts.superseded}</Badge>}
        {!ranking.counts && <Badge tone="warn">{texts.excluded}</Badge>}
        {!ranking.touched && ranking.source !== "import" && <Badge tone="neutral">{texts.untouched}</Badge>}
        {ranking.all_bad && <Badge tone="bad">{list.allBad}</Badge>}
      </header>
      <Order ranking={ranking} letters={letters} />
      <ul className={styles.said}>
        {ranking.strength !== null && <li>{texts.strength(ranking.strength)}</li>}
        {ranking.confidence !== null && <li>{texts.confidence(ranking.confidence)}</li>}
        {choices.map(([question, choice]) => (
          <li key={question}>
            {words(question)}: {words(choice)}
          </li>
        ))}
        {ratings.map(([id, of]) => (
          <li key={id}>
            {texts.rated(
              letter(id),
              Object.entries(of)
                .map(([scale, value]) => `${words(scale)} ${value}`)
                .join(", "),
            )}
          </li>
        ))}
        {flags.map(([id, of]) => (
          <li key={id}>{texts.flagged(letter(id), of.map(words).join(", "))}</li>
        ))}
      </ul>
      {ranking.comment && (
        <div className={styles.quoted}>
          <h3>{texts.comment}</h3>
          <p>{ranking.comment}</p>
        </div>
      )}
      {ranking.rewrite !== null && (
        <div className={styles.quoted}>
          <h3>{texts.rewrite}</h3>
          <Markdown text={ranking.rewrite} />
        </div>
      )}
    </li>
  );
}
