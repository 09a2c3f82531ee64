import { Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { TaskProblem } from "@/api/types";
import { ago } from "@/shared/format";
import { Badge, Panel, ProblemNotice } from "@/shared/ui";
import { problemsQuery } from "../api/problems";
import { useTexts } from "../texts";
import styles from "./problems.module.css";

/** What annotators reported, for those who can mend it; nothing where nothing was. */
export function ProblemsPanel({ slug }: { slug: string }) {
  const { problems: texts } = useTexts();
  const { data, error, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery(problemsQuery(slug));
  const all = data?.pages.flatMap((page) => page.results) ?? [];
  if (error) return <ProblemNotice error={error} />;
  if (all.length === 0) return null;
  return (
    <Panel title={texts.title}>
      <ul className={styles.list}>
        {all.map((problem) => (
          <Item key={problem.id} slug={slug} problem={problem} />
        ))}
      </ul>
      {hasNextPage && (
        <Button size="xs" variant="default" loading={isFetching} onClick={() => void fetchNextPage()}>
          {texts.more}
        </Button>
      )}
    </Panel>
  );
}

function Item({ slug, problem }: { slug: string; problem: TaskProblem }) {
  const { problems: texts, list } = useTexts();
  return (
    <li>
      <Badge tone="warn">{texts.kinds[problem.kind]}</Badge>
      <div className={styles.what}>
        <Link
          to="/projects/$slug/tasks/$taskId"
          params={{ slug, taskId: problem.task }}
          preload={false}
          dir="auto"
        >
          {problem.excerpt || list.noWords}
        </Link>
        {problem.text && <p dir="auto">{problem.text}</p>}
        <p className={styles.by}>
          {texts.by(problem.annotator, ago(problem.created_at))}
          {problem.task_state === "dropped" && ` · ${texts.dropped}`}
        </p>
      </div>
    </li>
  );
}
