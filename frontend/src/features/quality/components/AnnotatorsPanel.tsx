import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { AnnotatorQuality, Estimate, Quality } from "@/api/types";
import { count, duration, percent } from "@/shared/format";
import { Badge, Notice, Panel, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import {
  COLUMNS,
  type Column,
  decimals,
  interval,
  leans,
  nextOrder,
  type Order,
  share,
  sorted,
  straightLines,
  unlikeTheOthers,
} from "../reading";
import { useTexts } from "../texts";
import { ExcludeDialog } from "./ExcludeDialog";
import styles from "./quality.module.css";

/** The maximum number of annotators that the server lists. */
const MOST = 200;

/**
 * A share with its confidence interval in the tooltip. If the interval excludes ½, the share is marked as
 * biased.
 */
function Leaning({ of, estimate }: { of: string; estimate: Estimate }) {
  const t = useTexts();
  return (
    <span title={`${of}: ${interval(estimate, percent)}`}>
      {leans(estimate) && (
        <>
          <Badge tone="warn">{t.annotators.leans}</Badge>{" "}
        </>
      )}
      {share(estimate)}
    </span>
  );
}

/**
 * An estimate, displayed above its confidence interval. The interval shows the uncertainty: a reliability of
 * 90 % that is estimated from six pairs is much less certain than one estimated from six hundred pairs.
 */
function WithInterval({ estimate }: { estimate: Estimate }) {
  if (estimate.value === null) return <>–</>;
  return (
    <>
      {share(estimate)}
      {estimate.low !== null && estimate.high !== null && (
        <span className={styles.between}>
          {Math.round(estimate.low * 100)}–{Math.round(estimate.high * 100)}
        </span>
      )}
    </>
  );
}

function Row({
  person,
  slug,
  onExclude,
}: {
  person: AnnotatorQuality;
  slug: string;
  onExclude?: () => void;
}) {
  const t = useTexts();
  const texts = t.annotators;
  const name = person.username;
  return (
    <tr>
      <td>
        {onExclude ? (
          <Link
            to="/projects/$slug/tasks"
            params={{ slug }}
            search={{ list: "rankings", annotator: name }}
            title={texts.rankingsOf(name)}
          >
            {name}
          </Link>
        ) : (
          name
        )}
        {unlikeTheOthers(person) && (
          <>
            {" "}
            <Badge tone="bad">{texts.unlike}</Badge>
          </>
        )}
      </td>
      <td className={ui.number}>{count(person.rankings)}</td>
      <td className={ui.number}>{person.median_seconds === null ? "–" : duration(person.median_seconds)}</td>
      <td className={ui.number} title={texts.gold(person.n_gold)}>
        <WithInterval estimate={person.gold_accuracy} />
      </td>
      <td className={ui.number} title={texts.shared(person.n_pairs)}>
        {person.agreement === null ? "–" : percent(person.agreement)}
      </td>
      <td className={ui.number}>
        <WithInterval estimate={person.reliability} />
      </td>
      <td className={ui.number}>
        <Leaning of={texts.firstShown} estimate={person.first_shown_wins} />
      </td>
      <td className={ui.number}>
        <Leaning of={texts.longer} estimate={person.longer_wins} />
      </td>
      <td
        className={ui.number}
        title={
          person.as_shown_by_chance === null ? undefined : texts.byChance(percent(person.as_shown_by_chance))
        }
      >
        {person.as_shown === null ? "–" : percent(person.as_shown)}
        {straightLines(person) && (
          <>
            {" "}
            <Badge tone="warn">{texts.straight}</Badge>
          </>
        )}
      </td>
      <td className={ui.number}>
        {person.outlier_p_adjusted === null
          ? "–"
          : person.outlier_p_adjusted < 0.005
            ? "< 0.01"
            : decimals(person.outlier_p_adjusted)}
      </td>
      {onExclude && (
        <td>
          <Button
            size="compact-xs"
            variant="subtle"
            color="gray"
            aria-label={texts.excludeWho(name)}
            onClick={onExclude}
          >
            {texts.exclude}
          </Button>
        </td>
      )}
    </tr>
  );
}

export function AnnotatorsPanel({
  slug,
  quality,
  manages,
}: {
  slug: string;
  quality: Quality;
  manages: boolean;
}) {
  const t = useTexts();
  const [order, setOrder] = useState<Order>({ by: "rankings", up: false });
  const [excluding, setExcluding] = useState<string | null>(null);
  const texts = t.annotators;
  return (
    <Panel
      title={texts.title}
      flush
      aside={
        quality.pairwise_agreement !== null && (
          <span className={ui.dim}>{texts.agree(quality.pairwise_agreement, quality.n_pairs)}</span>
        )
      }
    >
      {quality.reliability_convergence?.converged === false && (
        <Notice tone="warn" title={texts.unfinished}>
          <p>{texts.unfinishedMeaning(quality.reliability_convergence.steps)}</p>
        </Notice>
      )}
      <TableScroll label={texts.table}>
        <thead>
          <tr>
            {(Object.keys(COLUMNS) as Column[]).map((column) => {
              const [label, meaning] = texts.columns[column];
              const here = order.by === column;
              return (
                <th
                  key={column}
                  className={column === "username" ? undefined : ui.number}
                  aria-sort={here ? (order.up ? "ascending" : "descending") : undefined}
                >
                  <button
                    type="button"
                    className={styles.sort}
                    title={meaning}
                    onClick={() => setOrder(nextOrder(order, column))}
                  >
                    {label}
                    <span aria-hidden="true">{here ? (order.up ? " ↑" : " ↓") : ""}</span>
                  </button>
                </th>
              );
            })}
            {manages && (
              <th className={styles.acts}>
                <span className="visually-hidden">{texts.exclude}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {sorted(quality.annotators, order).map((person) => (
            <Row
              key={person.username}
              person={person}
              slug={slug}
              {...(manages && { onExclude: () => setExcluding(person.username) })}
            />
          ))}
        </tbody>
      </TableScroll>
      {quality.annotators.length === MOST && <p className={`${ui.dim} ${styles.lead}`}>{texts.most(MOST)}</p>}
      {excluding !== null && (
        <ExcludeDialog slug={slug} name={excluding} onClose={() => setExcluding(null)} />
      )}
    </Panel>
  );
}
