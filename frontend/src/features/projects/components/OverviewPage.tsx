import { Button, Textarea } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { Me, Progress, Project } from "@/api/types";
import { ProblemsPanel } from "@/features/tasks/components/ProblemsPanel";
import { count, plural } from "@/shared/format";
import { Markdown } from "@/shared/markdown/Markdown";
import { may, meQuery, projectQuery, tasksOf } from "@/shared/session";
import { Badge, Bar, Notice, Page, Panel, ProblemNotice, Stats } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { progressQuery, updateProject } from "../api/projects";
import styles from "./projects.module.css";

type Step = { title: string; text: string; action: ReactNode };

/** Rankings enough for a first reward model to learn anything from; fewer is allowed, and mostly noise. */
const ENOUGH_RANKINGS = 50;

/** The one thing that most moves the project on, for this person. */
function nextStep(me: Me, project: Project): Step | null {
  const { counts, slug } = project;
  const { tasks, open } = tasksOf(project);
  const go = (to: "data" | "rank" | "runs/new" | "members", label: string, kind?: string) => (
    <Button
      renderRoot={(props) => (
        <Link {...props} to={`/projects/$slug/${to}`} params={{ slug }} {...(kind && { search: { kind } })} />
      )}
    >
      {label}
    </Button>
  );
  if (may.manage(me, project) && tasks === 0) {
    return {
      title: "Bring in something to rank",
      text: "Drop a file of prompts with responses on the Data page. Formats are recognised, and every line that can’t be used is named with its reason.",
      action: go("data", "Import data"),
    };
  }
  if (me.is_admin && counts.rankings >= ENOUGH_RANKINGS) {
    return {
      title: "Close the loop",
      text: `${plural(counts.rankings, "ranking")} give ${plural(counts.comparisons, "comparison")} to learn from. A reward model turns them into a score, and the score improves the policy.`,
      action: go("runs/new", "Train a reward model", "reward_model"),
    };
  }
  if (may.rank(me, project) && open > 0 && project.state === "active") {
    return {
      title: counts.my_rankings > 0 ? "Go on ranking" : "Rank your first task",
      text: `${tasks === null ? "Tasks wait" : `${plural(open, "task")} ${open === 1 ? "waits" : "wait"}`}. You put the responses to a prompt in order, best first; every key is shown by pressing ?.`,
      action: go("rank", "Start ranking"),
    };
  }
  if (may.manage(me, project) && open > 0) {
    return {
      title: "Invite people to rank",
      text: `${plural(open, "task")} ${open === 1 ? "is" : "are"} open, and each wants ${plural(project.overlap, "ranking")}.`,
      action: go("members", "Add members"),
    };
  }
  if (me.is_admin && tasks) {
    return {
      title: "Ask for new responses",
      text: "Everything is ranked. Let a policy answer prompts: its answers become the next tasks.",
      action: go("runs/new", "Sample responses", "sample"),
    };
  }
  return null;
}

const DAY_WIDTH_PX = 30;
/** The three words below the bars stand side by side in it. */
const LEAST_WIDTH_PX = 290;

const dayAndMonth = (date: string) =>
  new Date(`${date}T00:00:00`).toLocaleDateString(undefined, { day: "numeric", month: "short" });

function Days({ days }: { days: Progress["per_day"] }) {
  const most = Math.max(1, ...days.map((day) => day.rankings));
  return (
    <div style={{ maxWidth: days.length * DAY_WIDTH_PX, minWidth: LEAST_WIDTH_PX }}>
      <ol className={styles.days} aria-label="Rankings per day">
        {days.map((day) => (
          <li
            key={day.date}
            style={{ height: `${(day.rankings / most) * 100}%` }}
            title={`${day.date}: ${plural(day.rankings, "ranking")}`}
          >
            <span className="visually-hidden">
              {day.date}: {day.rankings}
            </span>
          </li>
        ))}
      </ol>
      <div className={styles.dayEnds}>
        <span>{days[0] && dayAndMonth(days[0].date)}</span>
        <span>at most {count(most)} a day</span>
        <span>{days.length > 1 && dayAndMonth(days.at(-1)?.date ?? "")}</span>
      </div>
    </div>
  );
}

function ProgressPanel({ slug }: { slug: string }) {
  const progress = useQuery(progressQuery(slug));
  return (
    <>
      {progress.isError && <ProblemNotice error={progress.error} />}
      {progress.data && progress.data.per_day.length > 0 && (
        <Panel title="Rankings per day">
          <Days days={progress.data.per_day} />
        </Panel>
      )}
    </>
  );
}

function Guidelines({ project, editable }: { project: Project; editable: boolean }) {
  const queryClient = useQueryClient();
  const [text, setText] = useState<string | null>(null);
  const save = useMutation({
    mutationFn: (guidelines: string) => updateProject(project.slug, { guidelines }),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: projectQuery(project.slug).queryKey });
      setText(null);
    },
  });
  const editButton = editable && text === null && (
    <Button size="compact-xs" variant="subtle" onClick={() => setText(project.guidelines)}>
      Edit
    </Button>
  );
  return (
    <Panel title="Guidelines" aside={editButton}>
      {text !== null ? (
        <div className={ui.stack}>
          <Textarea
            aria-label="Guidelines, in Markdown"
            autosize
            minRows={8}
            maxRows={24}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          {save.isError && <ProblemNotice error={save.error} />}
          <div className={ui.actions}>
            <Button size="xs" loading={save.isPending} onClick={() => save.mutate(text)}>
              Save
            </Button>
            <Button size="xs" variant="default" onClick={() => setText(null)}>
              Cancel
            </Button>
          </div>
        </div>
      ) : project.guidelines.trim() ? (
        <Markdown text={project.guidelines} />
      ) : (
        <p className={ui.dim}>
          None written.{" "}
          {editable ? "Two paragraphs on what makes a response better save many disagreements." : ""}
        </p>
      )}
    </Panel>
  );
}

export function OverviewPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/" });
  const { data: me } = useSuspenseQuery(meQuery);
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  if (!me) return null;
  const { counts } = project;
  const step = nextStep(me, project);
  const { tasks, open } = tasksOf(project);
  const done = (tasks ?? 0) - open;
  const manages = may.manage(me, project);

  return (
    <Page
      title={project.name}
      lead={
        <>
          {project.state !== "active" && (
            <>
              <Badge tone="warn">{project.state}</Badge>{" "}
            </>
          )}
          {tasks === null
            ? `${plural(project.overlap, "ranking")} wanted for each task.`
            : tasks > 0
              ? `${count(done)} of ${plural(tasks, "task")} done, ${plural(project.overlap, "ranking")} wanted for each.`
              : "No tasks yet."}
        </>
      }
    >
      {project.member_state === "paused" && (
        <Notice tone="warn" title="You are paused in this project">
          <p>{project.paused_reason || "You are given no tasks until a manager lets you go on."}</p>
        </Notice>
      )}
      {tasks !== null && tasks > 0 && <Bar share={done / tasks} label="Tasks done" />}
      {step && (
        <section className={styles.next} aria-label="What to do next">
          <div>
            <h2>{step.title}</h2>
            <p>{step.text}</p>
          </div>
          {step.action}
        </section>
      )}
      <Stats
        items={
          manages
            ? [
                { label: "prompts", value: count(counts.prompts) },
                { label: "responses", value: count(counts.responses) },
                { label: "open tasks", value: count(open) },
                { label: "rankings", value: count(counts.rankings) },
                { label: "comparisons", value: count(counts.comparisons) },
              ]
            : [
                { label: "ranked by you", value: count(counts.my_rankings) },
                ...(tasks === null ? [] : [{ label: "open tasks", value: count(open) }]),
                { label: "rankings by all", value: count(counts.rankings) },
              ]
        }
      />
      {manages && <ProblemsPanel slug={slug} />}
      {may.readQuality(me, project) && <ProgressPanel slug={slug} />}
      <Guidelines project={project} editable={manages} />
    </Page>
  );
}
