import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Me, Project } from "@/api/types";
import { plural } from "@/shared/format";
import { Icon } from "@/shared/Icon";
import { may, meQuery, tasksOf } from "@/shared/session";
import { Badge, Bar, EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { projectsQuery } from "../api/projects";
import styles from "./projects.module.css";

function ProjectRow({ me, project }: { me: Me; project: Project }) {
  const { counts } = project;
  const { tasks, open } = tasksOf(project);
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <Link to="/projects/$slug" params={{ slug: project.slug }} className={styles.name}>
          {project.name}
        </Link>
        <div className={styles.sub}>
          <span>{project.role ?? "admin"}</span>
          {project.state !== "active" && <Badge tone="warn">{project.state}</Badge>}
          {(counts.open_problems ?? 0) > 0 && (
            <Badge tone="info">{plural(counts.open_problems ?? 0, "report")} to settle</Badge>
          )}
        </div>
      </div>
      <div className={styles.progress}>
        {tasks !== null && (
          <Bar share={tasks ? (tasks - open) / tasks : 0} label={`${project.name}: tasks done`} />
        )}
        <span>
          {tasks !== null &&
            (tasks ? `${tasks - open} of ${plural(tasks, "task")} done · ` : "no tasks yet · ")}
          {plural(counts.rankings, "ranking")}
        </span>
      </div>
      <div>
        {may.rank(me, project) && open > 0 && project.state === "active" && (
          <Button
            variant="light"
            size="xs"
            renderRoot={(props) => (
              <Link {...props} to="/projects/$slug/rank" params={{ slug: project.slug }} />
            )}
          >
            Rank
          </Button>
        )}
      </div>
    </li>
  );
}

export function ProjectsPage() {
  const { data: me } = useSuspenseQuery(meQuery);
  const projects = useQuery(projectsQuery);
  const creates = me !== null && may.createProjects(me);
  const create = creates && (
    <Button leftSection={<Icon name="plus" />} renderRoot={(props) => <Link {...props} to="/new-project" />}>
      New project
    </Button>
  );
  return (
    <Page title="Projects" actions={create}>
      {projects.isError && <ProblemNotice error={projects.error} />}
      {projects.isPending && <Loading label="Loading projects" />}
      {projects.data?.length === 0 && (
        <EmptyState title={creates ? "Make the first project" : "You are in no project yet"} actions={create}>
          {creates ? (
            <p>
              A project holds prompts and the responses to rank, what annotators are asked about them, and the
              models trained from their answers.
            </p>
          ) : (
            <p>A manager adds you to a project by your username, {me?.username}. It then shows here.</p>
          )}
        </EmptyState>
      )}
      {me && projects.data && projects.data.length > 0 && (
        <ul className={styles.list}>
          {projects.data.map((project) => (
            <ProjectRow key={project.slug} me={me} project={project} />
          ))}
        </ul>
      )}
    </Page>
  );
}
