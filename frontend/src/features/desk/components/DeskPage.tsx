import { Button, Skeleton } from "@mantine/core";
import { useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import type { Project } from "@/api/types";
import { count, plural } from "@/shared/format";
import { projectQuery, tasksOf } from "@/shared/session";
import { EmptyState, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { assignmentQuery } from "../api/assignments";
import { forgetOld } from "../kept";
import { Desk } from "./Desk";
import styles from "./desk.module.css";
import { NoTask, whyNoTask } from "./NoTask";

/** How often an idle desk looks for new work. */
const LOOK_AGAIN_MS = 20_000;

function NothingToRank({ project, done, onLook }: { project: Project; done: number; onLook: () => void }) {
  const mine = project.counts.my_rankings;
  const { tasks, open } = tasksOf(project);
  return (
    <div style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
      <EmptyState
        title={
          done > 0 || mine > 0
            ? "You have ranked everything there is for you"
            : "There is nothing to rank yet"
        }
        actions={
          <>
            <Button onClick={onLook}>Look again</Button>
            <Button variant="default" component={Link} to={`/projects/${project.slug}`}>
              Project overview
            </Button>
          </>
        }
      >
        {project.state !== "active" ? (
          <p>This project is {project.state}. Ranking goes on when a manager makes it active again.</p>
        ) : (
          <>
            <p>
              {mine > 0 && `${plural(mine, "ranking")} of yours so far. `}
              Each task wants {plural(project.overlap, "ranking")} from{" "}
              {project.overlap === 1 ? "one person" : "different people"}, and nobody is asked the same one
              twice.
            </p>
            <p>
              {tasks === 0
                ? "New tasks arrive when a manager imports responses on the Data page, or an admin lets a model answer prompts."
                : `${tasks === null ? "" : `${count(open)} of ${plural(tasks, "task")} still ${open === 1 ? "waits" : "wait"} for others. `}A task somebody skips or leaves comes back here.`}
            </p>
          </>
        )}
        <p>This page looks for new work by itself.</p>
      </EmptyState>
    </div>
  );
}

function Waiting() {
  return (
    <main className={styles.desk} id="main" aria-busy="true" aria-label="Fetching a task">
      <div className={styles.skeleton}>
        <Skeleton height={20} width="40%" />
        <Skeleton height={120} />
      </div>
      <div className={styles.skeleton}>
        <Skeleton height={150} />
        <Skeleton height={150} />
        <Skeleton height={150} />
      </div>
      <div className={styles.skeleton}>
        <Skeleton height={160} />
      </div>
    </main>
  );
}

export function DeskPage() {
  useDocumentTitle("Rank");
  const { slug } = useParams({ from: "/shell/projects/$slug/rank" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const queryClient = useQueryClient();
  const next = useQuery(assignmentQuery(slug));
  const [done, setDone] = useState({ submitted: 0, words: "" });

  useEffect(() => forgetOld(), []);

  const idle = next.data === null;
  const { refetch } = next;
  useEffect(() => {
    if (!idle) return;
    const timer = setInterval(() => {
      if (document.visibilityState === "visible") void refetch();
    }, LOOK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [idle, refetch]);

  function onDone(what: "submitted" | "skipped") {
    setDone(({ submitted }) => {
      const total = submitted + (what === "submitted" ? 1 : 0);
      return { submitted: total, words: what === "submitted" ? `Saved · ${total} this session` : "Skipped" };
    });
    window.scrollTo(0, 0);
    void refetch();
    void queryClient.invalidateQueries({ queryKey: projectQuery(slug).queryKey });
  }

  // One lease is open at a time, so the next task is asked for the moment this one is in.
  if (next.isPending || (next.isFetching && next.data !== null)) return <Waiting />;
  if (next.isError) {
    const why = whyNoTask(next.error);
    if (why) {
      return (
        <main id="main">
          <h1 className="visually-hidden">Rank</h1>
          <NoTask why={why} slug={slug} onLook={() => void refetch()} />
        </main>
      );
    }
    return (
      <main id="main" style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
        <ProblemNotice
          error={next.error}
          actions={
            <Button size="xs" onClick={() => void refetch()}>
              Try again
            </Button>
          }
        />
      </main>
    );
  }
  if (!next.data) {
    return (
      <main id="main">
        <h1 className="visually-hidden">Rank</h1>
        <NothingToRank project={project} done={done.submitted} onLook={() => void refetch()} />
      </main>
    );
  }
  return (
    <main id="main">
      <h1 className="visually-hidden">Rank the responses</h1>
      <Desk
        key={next.data.id + next.data.token}
        project={project}
        assignment={next.data}
        lastDone={done.words}
        onDone={onDone}
        onAskAgain={() => void refetch()}
      />
    </main>
  );
}
