import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { memo, useMemo } from "react";
import type { RankingListed } from "@/api/types";
import { ago, duration, words } from "@/shared/format";
import { Badge, Loading, ProblemNotice } from "@/shared/ui";
import { rankingsQuery } from "../api/tasks";
import type { TasksSearch } from "../search";
import { useTexts } from "../texts";
import { LongList } from "./LongList";
import { Nothing } from "./Nothing";
import { RowLink } from "./RowLink";
import styles from "./tasks.module.css";

const Row = memo(function Row({
  ranking,
  slug,
  index,
  top,
  height,
}: {
  ranking: RankingListed;
  slug: string;
  index: number;
  top: number;
  height: number;
}) {
  const { list } = useTexts();
  const given = ranking.given_at ?? ranking.created_at;
  return (
    // biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned
    <div
      role="row"
      aria-rowindex={index + 2}
      tabIndex={-1}
      className={styles.row}
      data-list="rankings"
      style={{ top, height }}
    >
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell">
        <RowLink slug={slug} task={ranking.task} text={ranking.excerpt || list.noWords} />
        {ranking.comment && <q className={styles.comment}>{ranking.comment}</q>}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell">
        {ranking.by || "–"}
        {!ranking.counts && <Badge tone="warn">{list.excluded}</Badge>}
        {ranking.kind === "review" && <Badge tone="info">{list.review}</Badge>}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell">
        {ranking.not_rankable
          ? list.notRankable
          : ranking.n_tiers > 0
            ? list.tiers(ranking.n_tiers, ranking.n_responses)
            : !ranking.all_bad && list.noOrder}
        {ranking.all_bad && <Badge tone="bad">{list.allBad}</Badge>}
        {ranking.rewritten && <Badge tone="neutral">{list.rewritten}</Badge>}
        {ranking.flags.map((flag) => (
          <Badge key={flag} tone="warn">
            {words(flag)}
          </Badge>
        ))}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" data-label={list.agreement}>
        {list.agree(ranking.agreement)}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" data-label={list.time}>
        {ranking.duration_ms === null ? "–" : duration(ranking.duration_ms / 1000)}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" title={given}>
        {ago(given)}
      </span>
    </div>
  );
});

export function RankingsList({ slug, search }: { slug: string; search: TasksSearch }) {
  const { list } = useTexts();
  const queryClient = useQueryClient();
  const query = rankingsQuery(slug, search);
  const { data, error, isPending, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery(query);
  const rows = useMemo(() => data?.pages.flatMap((page) => page.results) ?? [], [data]);
  if (isPending) return <Loading label={list.loadingFirst} />;
  if (error) return <ProblemNotice error={error} />;
  if (rows.length === 0) return <Nothing slug={slug} search={search} />;
  return (
    <LongList
      label={list.rankings}
      columns={[list.prompt, list.by, list.said, list.agreement, list.time, list.given]}
      rows={rows}
      render={(ranking, place) => <Row key={ranking.id} ranking={ranking} slug={slug} {...place} />}
      hasMore={hasNextPage}
      isFetching={isFetching}
      onMore={fetchNextPage}
      onLookAgain={() => void queryClient.resetQueries({ queryKey: query.queryKey, exact: true })}
    />
  );
}
