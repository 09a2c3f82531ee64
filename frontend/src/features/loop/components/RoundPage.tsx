import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import type { Gate, RoundDetail, RoundStep } from "@/api/types";
import { figureName } from "@/shared/figures";
import { count, duration, metric, moment } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { SampleTable } from "@/shared/samples/SampleTable";
import { may, meQuery } from "@/shared/session";
import { Badge, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import ui from "@/shared/ui/ui.module.css";
import { answersQuery, cancelRound, resumeRound, roundQuery } from "../api/loops";
import { useTexts } from "../texts";
import { Approval } from "./Approval";
import styles from "./loop.module.css";
import { ROUND_TONES, STEP_TONES } from "./tones";

export function RoundPage() {
  const { slug, roundId } = useParams({ from: "/shell/projects/$slug/rounds/$roundId" });
  const { data: me } = useSuspenseQuery(meQuery);
  const texts = useTexts();
  const round = useQuery(roundQuery(roundId));
  const acts = me ? may.launchRuns(me) : false;
  return (
    <Page
      title={round.data ? texts.round(round.data.number) : texts.title}
      lead={round.data && <Lead round={round.data} />}
      actions={round.data && acts && <RoundActions round={round.data} />}
    >
      <Link to="/projects/$slug/loop" params={{ slug }}>
        {texts.title}
      </Link>
      {round.isError && <ProblemNotice error={round.error} />}
      {round.isPending && <Loading label={texts.loading} />}
      {round.data?.reason && <p>{round.data.reason}</p>}
      {round.data && (
        <Panel title={texts.steps} flush>
          <ol className={styles.rounds}>
            {round.data.steps.map((step) => (
              <Step key={step.position} slug={slug} step={step} />
            ))}
          </ol>
        </Panel>
      )}
      {round.data?.steps
        .filter(({ kind, gate }) => kind === "policy_gate" && gate?.incumbent && gate.state !== "open")
        .map(({ subject }) => (
          <BeforeAfter key={subject} roundId={roundId} subject={subject} />
        ))}
    </Page>
  );
}

function Lead({ round }: { round: RoundDetail }) {
  const texts = useTexts();
  return (
    <>
      <Badge tone={ROUND_TONES[round.state]}>{texts.states[round.state]}</Badge>{" "}
      {texts.startedBecause(texts.triggers[round.trigger])} · {texts.learnedFrom(round.new_comparisons)}
      {round.starting_policy && ` · ${texts.startedFrom(round.starting_policy.name)}`} ·{" "}
      {moment(round.created_at)}
      {round.gpu_hours > 0 && ` · ${texts.cost(duration(round.gpu_hours * 3600))}`}
      {round.price !== null && ` · ${texts.price(round.price.toFixed(2))}`}
    </>
  );
}

function RoundActions({ round }: { round: RoundDetail }) {
  const texts = useTexts();
  const queryClient = useQueryClient();
  const [asks, setAsks] = useState(false);
  const settled = async (found: RoundDetail) => {
    setAsks(false);
    queryClient.setQueryData(["round", round.id], found);
    await queryClient.invalidateQueries({ queryKey: ["rounds"] });
  };
  const cancel = useMutation({ mutationFn: () => cancelRound(round.id), onSuccess: settled });
  const resume = useMutation({ mutationFn: () => resumeRound(round.id), onSuccess: settled });
  return (
    <div>
      {round.state === "running" && (
        <Button variant="default" onClick={() => setAsks(true)}>
          {texts.cancel}
        </Button>
      )}
      {(round.state === "failed" || round.state === "cancelled") && (
        <Button loading={resume.isPending} onClick={() => resume.mutate()}>
          {texts.resume}
        </Button>
      )}
      {resume.isError && <ProblemNotice error={resume.error} />}
      {asks && (
        <Dialog
          title={texts.cancelTitle(round.number)}
          onClose={() => setAsks(false)}
          actions={
            <>
              <Button variant="default" onClick={() => setAsks(false)}>
                {texts.keep}
              </Button>
              <Button color="red" loading={cancel.isPending} onClick={() => cancel.mutate()}>
                {texts.cancel}
              </Button>
            </>
          }
        >
          <p>{texts.cancelMeans}</p>
          {cancel.isError && <ProblemNotice error={cancel.error} />}
        </Dialog>
      )}
    </div>
  );
}

function Step({ slug, step }: { slug: string; step: RoundStep }) {
  const texts = useTexts();
  const { run, gate } = step;
  const name = step.subject ? `${texts.step[step.kind]}: ${kindTitle(step.subject)}` : texts.step[step.kind];
  return (
    <li className={styles.round} data-state={step.state}>
      <div>
        <strong>
          {step.position}. {name}
        </strong>{" "}
        <Badge tone={STEP_TONES[step.state]}>{texts.states[step.state]}</Badge>{" "}
        {step.started_at && step.finished_at && (
          <span className={ui.dim}>
            {duration((Date.parse(step.finished_at) - Date.parse(step.started_at)) / 1000)}
          </span>
        )}
      </div>
      {run && (
        <div>
          {run.spent_seconds > 0 && `${texts.trained(duration(run.spent_seconds))} · `}
          <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: run.id }}>
            {texts.openRun}
          </Link>{" "}
          {step.state === "running" && (
            <span className={ui.dim}>{texts.runOf(run.phase || run.state, run.step, run.total_steps)}</span>
          )}
        </div>
      )}
      <Figures slug={slug} step={step} />
      <Outcome step={step} />
      {gate && <GateFigures gate={gate} />}
      {step.reason && !(gate && repeatsChecks(step.reason, gate)) && (
        <p className={styles.reason}>{step.reason}</p>
      )}
    </li>
  );
}

/** Whether the reason only repeats the details of the gate's checks, after the result. */
function repeatsChecks(reason: string, { checks, comparison }: Gate): boolean {
  const failed = checks.filter(({ passed }) => !passed);
  const details = (failed.length > 0 ? failed : checks).map(({ detail }) => detail).join(" ");
  return details !== "" && (comparison === null || failed.length > 0) && reason.endsWith(details);
}

/** The metrics that a step shows. The page of the run shows all metrics. */
const SHOWN: Partial<Record<RoundStep["kind"], string[]>> = {
  reward_model: ["heldout/accuracy", "heldout/pairs", "heldout/ece"],
  improve: ["objective/scores", "objective/kl", "heldout/accuracy", "reward_best"],
  answer_current: ["reward_model/mean", "reward_model/mean_tokens", "reward_model/repetition_rate"],
  answer_new: ["reward_model/mean", "reward_model/mean_tokens", "reward_model/repetition_rate"],
};

function Figures({ slug, step }: { slug: string; step: RoundStep }) {
  const { metrics, model } = step.outcome as {
    metrics?: Record<string, number>;
    model?: { id: string; name: string };
  };
  const figures = (SHOWN[step.kind] ?? []).flatMap((name) => {
    const value = metrics?.[name];
    return value === undefined ? [] : [`${figureName(name)} ${metric(value)}`];
  });
  if (figures.length === 0 && !model) return null;
  return (
    <div>
      {model && step.kind === "reward_model" && (
        <Link to="/projects/$slug/models/$modelId" params={{ slug, modelId: model.id }}>
          {model.name}
        </Link>
      )}
      {model && step.kind !== "reward_model" && <code>{model.name}</code>}{" "}
      <span className={ui.dim}>{figures.join(" · ")}</span>
    </div>
  );
}

function Outcome({ step }: { step: RoundStep }) {
  const texts = useTexts();
  const { rankings, comparisons, counts, exports } = step.outcome as {
    exports?: { file: string }[];
    rankings?: number;
    comparisons?: number;
    counts?: Record<string, number>;
  };
  if (step.kind === "freeze" && rankings !== undefined) {
    return <div>{texts.frozen(rankings, comparisons ?? 0)}</div>;
  }
  const files = (exports ?? []).flatMap(({ file }) => (file ? [file] : []));
  if (files.length > 0) return <div>{texts.exported(files)}</div>;
  if (step.kind === "sample" && counts?.tasks !== undefined) return <div>{texts.asked(counts.tasks)}</div>;
  return null;
}

/** The win rates by judges other than people. */
function OtherWinRates({ rates }: { rates: Gate["win_rates"] }) {
  const texts = useTexts();
  const shown = (["reward_model", "gold"] as const).flatMap((judge) => {
    const rate = rates[judge];
    return rate
      ? [`${texts.by[judge]}: ${metric(rate.win_rate)} (${metric(rate.low)} to ${metric(rate.high)})`]
      : [];
  });
  return shown.length > 0 && <div className={ui.dim}>{texts.otherWinRates(shown.join(", "))}</div>;
}

/** Answers of the production policy and of the new policy to the same held-out prompts. */
function BeforeAfter({ roundId, subject }: { roundId: string; subject: string }) {
  const texts = useTexts();
  const answers = useQuery(answersQuery(roundId, subject));
  return (
    <Panel title={texts.beforeAfter(kindTitle(subject))} flush>
      {answers.isPending && <Loading label={texts.loading} />}
      {answers.isError && <ProblemNotice error={answers.error} />}
      {answers.data?.length === 0 && <p className={styles.empty}>{texts.sameAnswers}</p>}
      {answers.data && (
        <SampleTable
          rows={answers.data.map((one, index) => ({
            key: String(index),
            prompt: one.messages as { role: string; content: string }[],
            answers: [
              {
                key: "before",
                title: texts.before,
                text: one.before,
                score: texts.points(metric(one.before_points)),
              },
              {
                key: "after",
                title: texts.after,
                text: one.after,
                score: texts.points(metric(one.after_points)),
              },
            ],
          }))}
        />
      )}
    </Panel>
  );
}

function GateFigures({ gate }: { gate: Gate }) {
  const texts = useTexts();
  const { comparison } = gate;
  return (
    <div className={styles.gate}>
      {comparison && (
        <div>
          <div>
            {texts.winRate(metric(comparison.win_rate), metric(comparison.low), metric(comparison.high))}.{" "}
            {texts.comparison(comparison.wins, comparison.ties, comparison.losses)}.
          </div>
          <div className={styles.track} aria-hidden="true">
            <span
              className={styles.interval}
              style={{
                insetInlineStart: `${comparison.low * 100}%`,
                width: `${(comparison.high - comparison.low) * 100}%`,
              }}
            />
            <span className={styles.even} />
          </div>
          <div className={ui.dim}>
            {texts.answers(count(comparison.answers), count(comparison.budget))}. {texts.anytime}{" "}
            {gate.project && gate.state === "open" && (
              <Link to="/projects/$slug" params={{ slug: gate.project }}>
                {texts.openGate}
              </Link>
            )}
          </div>
        </div>
      )}
      {gate.state === "awaiting" && <Approval gate={gate} />}
      <OtherWinRates rates={gate.win_rates} />
      <ul className={styles.checks}>
        {gate.checks.map((check) => (
          <li key={check.name}>
            <Badge tone={check.passed ? "good" : "bad"}>{check.passed ? texts.passed : texts.failed}</Badge>{" "}
            {check.detail}
          </li>
        ))}
      </ul>
    </div>
  );
}
