import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Me, Project } from "@/api/types";
import { may, meQuery, tasksOf } from "@/shared/session";
import { Badge, Bar, EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import { projectsQuery } from "../api/projects";
import { useHomeTexts } from "../texts/home";
import styles from "./projects.module.css";

function ProjectRow({ me, project }: { me: Me; project: Project }) {
  const t = useHomeTexts();
  const { counts } = project;
  const { tasks, open } = tasksOf(project);
  return (
    <li className={styles.row}>
      <div className={styles.what}>
        <Link to="/projects/$slug" params={{ slug: project.slug }} className={styles.name}>
          {project.name}
        </Link>
        <div className={styles.sub}>
          <span>{t.roles[project.role ?? "admin"]}</span>
          {project.state !== "active" && <Badge tone="warn">{t.states[project.state]}</Badge>}
          {(counts.open_problems ?? 0) > 0 && (
            <Badge tone="info">{t.toSettle(counts.open_problems ?? 0)}</Badge>
          )}
        </div>
      </div>
      <div className={styles.progress}>
        {tasks !== null && <Bar share={tasks ? (tasks - open) / tasks : 0} label={t.tasksOf(project.name)} />}
        <span>
          {tasks !== null && `${tasks ? t.done(tasks - open, tasks) : t.noneYet} · `}
          {t.rankings(counts.rankings)}
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
            {t.rank}
          </Button>
        )}
      </div>
    </li>
  );
}

export function ProjectsPage() {
  const t = useHomeTexts();
  const { data: me } = useSuspenseQuery(meQuery);
  const projects = useQuery(projectsQuery);
  const creates = me !== null && may.createProjects(me);
  const create = creates && (
    <Button leftSection={<Icon name="plus" />} renderRoot={(props) => <Link {...props} to="/new-project" />}>
      {t.newProject}
    </Button>
  );
  return (
    <Page title={t.title} actions={create}>
      {projects.isError && <ProblemNotice error={projects.error} />}
      {projects.isPending && <Loading label={t.loading} />}
      {projects.data?.length === 0 && (
        <EmptyState title={creates ? t.first : t.none} actions={create}>
          <p>{creates ? t.firstText : t.noneText(me?.username ?? "")}</p>
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
