import { Button, Textarea } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type ReactNode, useState } from "react";
import type { Loop, Me, Progress, Project, Run } from "@/api/types";
import { count } from "@/shared/format";
import { currentLanguage } from "@/shared/i18n/language";
import { Markdown } from "@/shared/markdown/Markdown";
import { may, meQuery, projectQuery, tasksOf } from "@/shared/session";
import { Badge, Bar, Notice, Page, Panel, ProblemNotice, Stats } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { progressQuery, updateProject } from "../api/projects";
import { type LoopStep, loopStepOf } from "../loopStep";
import { useHomeTexts } from "../texts/home";
import styles from "./projects.module.css";

type HomeTexts = ReturnType<typeof useHomeTexts>;
type Step = { title: string; text: string; action: ReactNode };

type To = "data" | "rank" | "runs/new" | "members" | "loop";

/** The recommended next step for this user. `loop` is the training loop's next step (see `loopStepFor`). */
function nextStep(me: Me, project: Project, loop: LoopStep, t: HomeTexts["steps"]): Step | null {
  const { counts, slug } = project;
  const { tasks, open } = tasksOf(project);
  const go = (to: To, label: string, search?: Record<string, string>) => (
    <Button
      renderRoot={(props) => (
        <Link {...props} to={`/projects/$slug/${to}`} params={{ slug }} {...(search && { search })} />
      )}
    >
      {label}
    </Button>
  );
  if (may.manage(me, project) && tasks === 0) return { ...t.import, action: go("data", t.import.action) };
  switch (loop.is) {
    case "watch":
      return {
        ...t.watch,
        action: (
          <Button
            renderRoot={(props) => (
              <Link {...props} to="/projects/$slug/runs/$runId" params={{ slug, runId: loop.run }} />
            )}
          >
            {t.watch.action}
          </Button>
        ),
      };
    case "train":
      return {
        title: t.train.title,
        text: t.train.text(counts.rankings, counts.comparisons),
        action: go("runs/new", t.train.action, { kind: "reward_model" }),
      };
    case "improve":
      return {
        title: t.improve.title,
        text: t.improve.text(loop.rewardModel),
        action: go("runs/new", t.improve.action, { kind: "ppo", reward_model: loop.rewardModel }),
      };
    case "sample":
      return {
        title: t.ask.title,
        text: t.ask.text(loop.policy),
        action: go("runs/new", t.ask.action, { kind: "sample", policy: loop.policy }),
      };
    case "round":
      return {
        title: t.round.title(loop.number),
        text: t.round.text,
        action: go("loop", t.round.action),
      };
    case "collect":
      return {
        title: t.collect.title,
        text: t.collect.text(loop.collected, loop.needed),
        action: go("loop", t.collect.action),
      };
    case "people":
  }
  if (may.rank(me, project) && open > 0 && project.state === "active") {
    return {
      title: counts.my_rankings > 0 ? t.rank.goOn : t.rank.title,
      text: t.rank.text(tasks === null ? null : open),
      action: go("rank", t.rank.action),
    };
  }
  if (may.manage(me, project) && open > 0) {
    return {
      title: t.invite.title,
      text: t.invite.text(open, project.overlap),
      action: go("members", t.invite.action),
    };
  }
  if (me.is_admin && tasks) {
    return {
      ...t.sample,
      action: go("runs/new", t.sample.action, { kind: "sample" }),
    };
  }
  return null;
}

/**
 * The next step of the training loop; undefined until the runs and the loop have loaded. For users other than admins, the
 * step is always "people", because only admins can start runs.
 */
function loopStepFor(
  me: Me | null,
  project: Project,
  runs: readonly Run[] | undefined,
  loop: Loop | null | undefined,
): LoopStep | undefined {
  if (!me?.is_admin) return { is: "people" };
  if (!runs || loop === undefined) return undefined;
  return loopStepOf(runs, project.counts.rankings, tasksOf(project).open, loop);
}

const DAY_WIDTH_PX = 30;
/** Minimum width at which the three labels below the bars fit side by side. */
const LEAST_WIDTH_PX = 290;

const dayAndMonth = (date: string) =>
  new Date(`${date}T00:00:00`).toLocaleDateString(currentLanguage(), { day: "numeric", month: "short" });

function Days({ days }: { days: Progress["per_day"] }) {
  const t = useHomeTexts();
  const most = Math.max(1, ...days.map((day) => day.rankings));
  return (
    <div style={{ maxWidth: days.length * DAY_WIDTH_PX, minWidth: LEAST_WIDTH_PX }}>
      <ol className={styles.days} aria-label={t.perDay}>
        {days.map((day) => (
          <li
            key={day.date}
            style={{ height: `${(day.rankings / most) * 100}%` }}
            title={t.onDay(day.date, day.rankings)}
          >
            <span className="visually-hidden">
              {day.date}: {day.rankings}
            </span>
          </li>
        ))}
      </ol>
      <div className={styles.dayEnds}>
        <span>{days[0] && dayAndMonth(days[0].date)}</span>
        <span>{t.atMost(most)}</span>
        <span>{days.length > 1 && dayAndMonth(days.at(-1)?.date ?? "")}</span>
      </div>
    </div>
  );
}

function ProgressPanel({ slug }: { slug: string }) {
  const t = useHomeTexts();
  const progress = useQuery(progressQuery(slug));
  return (
    <>
      {progress.isError && <ProblemNotice error={progress.error} />}
      {progress.data && progress.data.per_day.length > 0 && (
        <Panel title={t.perDay}>
          <Days days={progress.data.per_day} />
        </Panel>
      )}
    </>
  );
}

function Guidelines({ project, editable }: { project: Project; editable: boolean }) {
  const t = useHomeTexts();
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
      {t.edit}
    </Button>
  );
  return (
    <Panel title={t.guidelines} aside={editButton}>
      {text !== null ? (
        <div className={ui.stack}>
          <Textarea
            aria-label={t.guidelinesField}
            autosize
            minRows={8}
            maxRows={24}
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          {save.isError && <ProblemNotice error={save.error} />}
          <div className={ui.actions}>
            <Button size="xs" loading={save.isPending} onClick={() => save.mutate(text)}>
              {t.save}
            </Button>
            <Button size="xs" variant="default" onClick={() => setText(null)}>
              {t.cancel}
            </Button>
          </div>
        </div>
      ) : project.guidelines.trim() ? (
        <Markdown text={project.guidelines} />
      ) : (
        <p className={ui.dim}>
          {t.noGuidelines} {editable && t.writeSome}
        </p>
      )}
    </Panel>
  );
}

export function Overview({
  slug,
  runs,
  loop: trainingLoop,
  problems,
}: {
  slug: string;
  /** The project's runs, newest first; undefined until the runs have loaded. */
  runs: readonly Run[] | undefined;
  /** The project's training loop; null without a loop, and undefined until it has loaded. */
  loop: Loop | null | undefined;
  /** The panel of reported problems, shown only to managers. */
  problems: ReactNode;
}) {
  const t = useHomeTexts();
  const { data: me } = useSuspenseQuery(meQuery);
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const loop = loopStepFor(me, project, runs, trainingLoop);
  if (!me) return null;
  const { counts } = project;
  const step = loop && nextStep(me, project, loop, t.steps);
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
              <Badge tone="warn">{t.states[project.state]}</Badge>{" "}
            </>
          )}
          {tasks === null
            ? t.wanted(project.overlap)
            : tasks > 0
              ? t.doneAndWanted(done, tasks, project.overlap)
              : t.noTasks}
        </>
      }
    >
      {project.member_state === "paused" && (
        <Notice tone="warn" title={t.pausedTitle}>
          <p>{project.paused_reason || t.pausedText}</p>
        </Notice>
      )}
      {tasks !== null && tasks > 0 && <Bar share={done / tasks} label={t.tasksDone} />}
      {step && (
        <section className={styles.next} aria-label={t.next}>
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
                { label: t.counts.prompts, value: count(counts.prompts) },
                { label: t.counts.responses, value: count(counts.responses) },
                { label: t.counts.open, value: count(open) },
                { label: t.counts.rankings, value: count(counts.rankings) },
                { label: t.counts.comparisons, value: count(counts.comparisons) },
              ]
            : [
                { label: t.counts.mine, value: count(counts.my_rankings) },
                ...(tasks === null ? [] : [{ label: t.counts.open, value: count(open) }]),
                { label: t.counts.byAll, value: count(counts.rankings) },
              ]
        }
      />
      {manages && problems}
      {may.readQuality(me, project) && <ProgressPanel slug={slug} />}
      <Guidelines project={project} editable={manages} />
    </Page>
  );
}
