import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { TaskDetail } from "@/api/types";
import { moment, percent } from "@/shared/format";
import { Conversation } from "@/shared/markdown/Conversation";
import { Markdown } from "@/shared/markdown/Markdown";
import { Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { lettersOf } from "../answer";
import { taskQuery, taskRankingsQuery } from "../api/tasks";
import { useTexts } from "../texts";
import { AskButton } from "./AskButton";
import { ProblemsPanel } from "./ProblemsPanel";
import { RankingCard } from "./RankingCard";
import styles from "./task.module.css";

function Facts({ task, slug }: { task: TaskDetail; slug: string }) {
  const { task: texts, filters, list } = useTexts();
  const facts: [string, string][] = [
    [texts.state, filters.states[task.state]],
    [texts.kind, filters.kinds[task.kind]],
    [texts.answered, list.answered(task.answered, task.overlap)],
    ...(task.agreement === null ? [] : [[texts.agreement, percent(task.agreement)] as [string, string]]),
    [texts.round, String(task.round)],
    [texts.split, task.prompt.split],
    [texts.made, moment(task.created_at)],
    ...(task.priority === 0 ? [] : [[texts.priority, String(task.priority)] as [string, string]]),
    [texts.id, task.id],
  ];
  const metadata = { ...task.prompt.metadata, ...task.metadata };
  return (
    <Panel
      title={texts.facts}
      aside={
        task.kind === "ranking" &&
        task.agreement !== null && (
          <Button
            size="compact-xs"
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/review" params={{ slug }} />}
          >
            {texts.review}
          </Button>
        )
      }
    >
      <dl className={styles.facts}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {Object.keys(metadata).length > 0 && (
        <details className={styles.metadata}>
          <summary>{texts.metadata}</summary>
          <pre>{JSON.stringify(metadata, null, 2)}</pre>
        </details>
      )}
    </Panel>
  );
}

function Responses({ task, letters }: { task: TaskDetail; letters: ReadonlyMap<string, string> }) {
  const { task: texts } = useTexts();
  const right = task.gold_tiers
    ?.map((tier) => tier.map((id) => letters.get(id) ?? "?").join(" = "))
    .join(" > ");
  return (
    <Panel title={texts.responses}>
      <div className={ui.stack}>
        {right && (
          <p>
            {texts.right}: <b>{right}</b>
          </p>
        )}
        <div className={styles.responses}>
          {task.responses.map((response) => (
            <article
              key={response.id}
              className={styles.response}
              aria-label={texts.response(letters.get(response.id) ?? "?")}
            >
              <header>
                <b>{letters.get(response.id)}</b>
                <span className={ui.mono}>{response.model_name || texts.unnamed}</span>
              </header>
              <Markdown text={response.text} />
            </article>
          ))}
        </div>
      </div>
    </Panel>
  );
}

function Rankings({ slug, id, letters }: { slug: string; id: string; letters: ReadonlyMap<string, string> }) {
  const { task: texts } = useTexts();
  const { data, error, isPending, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery(
    taskRankingsQuery(slug, id),
  );
  const rankings = data?.pages.flatMap((page) => page.results) ?? [];
  return (
    <Panel title={texts.rankings}>
      {isPending && <Loading label={texts.rankings} />}
      {error && <ProblemNotice error={error} />}
      {data && rankings.length === 0 && <p className={ui.dim}>{texts.none}</p>}
      <ol className={styles.rankings}>
        {rankings.map((ranking) => (
          <RankingCard key={ranking.id} ranking={ranking} slug={slug} letters={letters} />
        ))}
      </ol>
      {hasNextPage && (
        <Button size="xs" variant="default" loading={isFetching} onClick={() => void fetchNextPage()}>
          {texts.more}
        </Button>
      )}
    </Panel>
  );
}

export function TaskView({
  slug,
  taskId,
  checkButton,
}: {
  slug: string;
  taskId: string;
  checkButton: (task: TaskDetail) => ReactNode;
}) {
  const { task: texts, filters, list } = useTexts();
  const { data: task, error, isPending } = useQuery(taskQuery(slug, taskId));
  const letters = lettersOf(task?.responses ?? []);
  return (
    <Page
      title={texts.title}
      lead={
        task &&
        texts.standing(
          filters.kinds[task.kind],
          filters.states[task.state],
          list.answered(task.answered, task.overlap),
        )
      }
      actions={
        <>
          {task && <AskButton slug={slug} task={task} />}
          {task && checkButton(task)}
          <Button
            size="xs"
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/tasks" params={{ slug }} />}
          >
            {texts.back}
          </Button>
        </>
      }
    >
      {isPending && <Loading label={texts.title} />}
      {error && <ProblemNotice error={error} />}
      {task && (
        <>
          <ProblemsPanel slug={slug} task={taskId} />
          <Panel title={texts.prompt}>
            <Conversation messages={task.prompt.messages} />
          </Panel>
          <Responses task={task} letters={letters} />
          <Rankings slug={slug} id={taskId} letters={letters} />
          <Facts task={task} slug={slug} />
        </>
      )}
    </Page>
  );
}
