import { Button, Skeleton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Project } from "@/api/types";
import { count, plural } from "@/shared/format";
import { tasksOf } from "@/shared/session";
import { EmptyState } from "@/shared/ui";
import { useFlowTexts } from "../texts/flow";
import styles from "./desk.module.css";

export function NothingToRank({
  project,
  done,
  onLook,
  onTakeBack,
}: {
  project: Project;
  done: number;
  onLook: () => void;
  onTakeBack: () => void;
}) {
  const t = useFlowTexts();
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
            {(done > 0 || mine > 0) && (
              <Button variant="default" onClick={onTakeBack}>
                {t.takeBackLabel}
              </Button>
            )}
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

/** The place of a task that is being fetched. */
export function Waiting() {
  const t = useFlowTexts();
  return (
    <main className={styles.desk} id="main" aria-busy="true" aria-label={t.fetching}>
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
