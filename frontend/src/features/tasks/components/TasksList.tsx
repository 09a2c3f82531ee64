import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { memo, useMemo } from "react";
import type { TaskListed } from "@/api/types";
import { ago, moment } from "@/shared/format";
import { Badge, Loading, ProblemNotice, type Tone } from "@/shared/ui";
import { tasksQuery } from "../api/tasks";
import type { TasksSearch } from "../search";
import { useTexts } from "../texts";
import { LongList } from "./LongList";
import { Nothing } from "./Nothing";
import { RowLink } from "./RowLink";
import styles from "./tasks.module.css";

const STATE_TONES: Record<TaskListed["state"], Tone> = { open: "info", done: "good", dropped: "neutral" };

const Row = memo(function Row({
  task,
  slug,
  index,
  top,
  height,
}: {
  task: TaskListed;
  slug: string;
  index: number;
  top: number;
  height: number;
}) {
  const { list, filters } = useTexts();
  return (
    // biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned
    <div role="row" aria-rowindex={index + 2} tabIndex={-1} className={styles.row} style={{ top, height }}>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell">
        <RowLink slug={slug} task={task.id} text={task.excerpt || list.noWords} />
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell">
        <Badge tone={STATE_TONES[task.state]}>{filters.states[task.state]}</Badge>
        {task.kind !== "ranking" && <Badge tone="warn">{filters.kinds[task.kind]}</Badge>}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" data-label={list.rankingsOf}>
        {task.kind === "ranking" ? list.answered(task.rankings, task.overlap) : task.rankings}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" data-label={list.agreement}>
        {list.agree(task.agreement)}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" data-label={list.round}>
        {task.round}
      </span>
      {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
      <span role="cell" title={moment(task.created_at)}>
        {ago(task.created_at)}
      </span>
    </div>
  );
});

export function TasksList({ slug, search }: { slug: string; search: TasksSearch }) {
  const { list } = useTexts();
  const queryClient = useQueryClient();
  const query = tasksQuery(slug, search);
  const { data, error, isPending, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery(query);
  const rows = useMemo(() => data?.pages.flatMap((page) => page.results) ?? [], [data]);
  if (isPending) return <Loading label={list.loadingFirst} />;
  if (error) return <ProblemNotice error={error} />;
  if (rows.length === 0) return <Nothing slug={slug} search={search} />;
  return (
    <LongList
      label={list.tasks}
      columns={[list.prompt, list.state, list.rankingsOf, list.agreement, list.round, list.made]}
      rows={rows}
      render={(task, place) => <Row key={task.id} task={task} slug={slug} {...place} />}
      hasMore={hasNextPage}
      isFetching={isFetching}
      onMore={fetchNextPage}
      onLookAgain={() => void queryClient.resetQueries({ queryKey: query.queryKey, exact: true })}
    />
  );
}
