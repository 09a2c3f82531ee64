import { Button, Textarea } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { TaskProblem } from "@/api/types";
import { ago } from "@/shared/format";
import { Badge, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { problemsQuery, refreshProblems, reopenProblem, settleProblem } from "../api/problems";
import { useTexts } from "../texts";
import { AskButton } from "./AskButton";
import styles from "./problems.module.css";

/**
 * Shows managers the problems that annotators have reported, in all tasks or in a single task. Renders nothing
 * if there are no reports.
 */
export function ProblemsPanel({ slug, task }: { slug: string; task?: string }) {
  const { problems: texts } = useTexts();
  const { data, error, hasNextPage, isFetching, fetchNextPage } = useInfiniteQuery(problemsQuery(slug, task));
  const all = data?.pages.flatMap((page) => page.results) ?? [];
  const open = all.filter((problem) => problem.settled_at === null);
  const settled = all.filter((problem) => problem.settled_at !== null);
  const list = (problems: TaskProblem[]) => (
    <ul className={styles.list}>
      {problems.map((problem) => (
        <Item key={problem.id} slug={slug} problem={problem} named={task === undefined} />
      ))}
    </ul>
  );
  if (error) return <ProblemNotice error={error} />;
  if (all.length === 0) return null;
  return (
    <Panel title={texts.title}>
      <div className={ui.stack}>
        {open.length > 0 ? list(open) : <p className={ui.dim}>{texts.allSettled}</p>}
        {settled.length > 0 && (
          <details>
            <summary>{texts.settled(settled.length, hasNextPage)}</summary>
            {list(settled)}
          </details>
        )}
        {hasNextPage && (
          <Button size="xs" variant="default" loading={isFetching} onClick={() => void fetchNextPage()}>
            {texts.more}
          </Button>
        )}
      </div>
    </Panel>
  );
}

function Item({ slug, problem, named }: { slug: string; problem: TaskProblem; named: boolean }) {
  const { problems: texts, list } = useTexts();
  const dropped = problem.task_state === "dropped";
  return (
    <li>
      <Badge tone={problem.settled_at ? "neutral" : "warn"}>{texts.kinds[problem.kind]}</Badge>
      <div className={styles.what}>
        {named && (
          <Link
            to="/projects/$slug/tasks/$taskId"
            params={{ slug, taskId: problem.task }}
            preload={false}
            dir="auto"
          >
            {problem.excerpt || list.noWords}
          </Link>
        )}
        {problem.text && <p dir="auto">{problem.text}</p>}
        <p className={styles.by}>
          {texts.by(problem.annotator, ago(problem.created_at))}
          {dropped && ` · ${texts.dropped}`}
        </p>
        {problem.settled_at && (
          <p className={styles.by}>
            {texts.settledBy(problem.settled_by ?? "", ago(problem.settled_at))}
            {problem.note && `: ${problem.note}`}
          </p>
        )}
        <Actions slug={slug} problem={problem} />
      </div>
    </li>
  );
}

function Actions({ slug, problem }: { slug: string; problem: TaskProblem }) {
  const { problems: texts } = useTexts();
  const queryClient = useQueryClient();
  const [note, setNote] = useState<string | null>(null);
  const move = useMutation({
    mutationFn: () => (problem.settled_at ? reopenProblem(problem) : settleProblem(problem, note ?? "")),
    // Reports are also refetched if the server refuses the change, because another user has then already
    // changed the report.
    onSettled: () => refreshProblems(queryClient, slug),
  });
  return (
    <>
      {move.isError && <ProblemNotice error={move.error} />}
      {note !== null && !problem.settled_at ? (
        <form
          className={styles.settle}
          onSubmit={(event) => {
            event.preventDefault();
            move.mutate();
          }}
        >
          <Textarea
            label={texts.note}
            description={texts.noteHelp}
            autosize
            minRows={1}
            maxRows={6}
            maxLength={2000}
            autoFocus
            value={note}
            onChange={(event) => setNote(event.currentTarget.value)}
          />
          <div className={ui.actions}>
            <Button type="submit" size="xs" loading={move.isPending}>
              {texts.settle}
            </Button>
            <Button size="xs" variant="default" onClick={() => setNote(null)}>
              {texts.cancel}
            </Button>
          </div>
        </form>
      ) : (
        <div className={`${ui.actions} ${styles.actions}`}>
          {problem.settled_at ? (
            <Button
              size="compact-xs"
              variant="default"
              loading={move.isPending}
              onClick={() => {
                setNote(null);
                move.mutate();
              }}
            >
              {texts.reopen}
            </Button>
          ) : (
            <>
              <Button size="compact-xs" variant="default" onClick={() => setNote("")}>
                {texts.settle}
              </Button>
              <AskButton
                slug={slug}
                task={{ id: problem.task, state: problem.task_state }}
                size="compact-xs"
              />
            </>
          )}
        </div>
      )}
    </>
  );
}
