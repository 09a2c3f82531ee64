import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Model, RewardReport } from "@/api/types";
import { percent } from "@/shared/format";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { modelQuery, modelReportQuery } from "../api/reports";
import { decimals, withBounds } from "../figures";
import { type ReportTexts, useTexts } from "../texts";
import { Calibration } from "./Calibration";
import { Comparison } from "./Comparison";
import { Crowd } from "./Crowd";
import { Figures } from "./Figures";
import { Leanings } from "./Leanings";
import { Slices } from "./Slices";
import { Strengths, Ties } from "./TiesAndStrengths";

const share = (value: number) => percent(value, 1);

function headline(report: RewardReport, texts: ReportTexts["figures"]) {
  const { best_of_4: best, top, people, calibration } = report;
  return [
    { name: texts.accuracy, value: withBounds(report.accuracy, share) },
    best
      ? { name: texts.best4, value: withBounds(best.accuracy, share), note: texts.best4Note(best.rankings) }
      : top && {
          name: texts.top,
          value: withBounds(top.accuracy, share),
          note: texts.topNote(percent(top.chance)),
        },
    people && {
      name: texts.people,
      value: withBounds(people.others, share),
      note: texts.peopleNote(people.model.value === null ? "–" : share(people.model.value), people.pairs),
    },
    {
      name: texts.ece,
      value: withBounds(calibration.preference.ece, decimals),
      note: texts.eceNote(decimals(calibration.preference.ece_if_right)),
    },
    { name: texts.logLoss, value: withBounds(calibration.log_loss, decimals), note: texts.logLossNote },
  ].filter((item) => item !== null);
}

function Report({ report }: { report: RewardReport }) {
  const texts = useTexts();
  return (
    <>
      <Figures items={headline(report, texts.figures)} />
      <Calibration calibration={report.calibration} />
      <Slices report={report} />
      <Leanings report={report} />
      {report.ties && <Ties ties={report.ties} />}
      {report.strengths && <Strengths strengths={report.strengths} />}
    </>
  );
}

function Lead({ report }: { report: RewardReport }) {
  const texts = useTexts();
  return (
    <>
      {texts.lead(report.rankings, report.prompts, report.pairs)}{" "}
      {report.tied_pairs > 0 && texts.ties(report.tied_pairs)}{" "}
      {Object.entries(report.left_out).map(([reason, left]) => texts.leftOut(reason, left))}
    </>
  );
}

type Panels = (model: Model, slug: string) => ReactNode;

function ModelView({ model, slug, panels }: { model: Model; slug: string; panels: Panels }) {
  const texts = useTexts();
  // Only reward models have reports.
  const answer = useQuery({ ...modelReportQuery(model.id), enabled: model.kind === "reward_model" });
  const report = answer.data?.report;
  return (
    <Page
      title={model.name}
      lead={report && <Lead report={report} />}
      actions={
        <>
          {model.run && (
            <Button
              variant="default"
              renderRoot={(props) => (
                <Link
                  {...props}
                  to="/projects/$slug/runs/$runId"
                  params={{ slug, runId: model.run?.id ?? "" }}
                />
              )}
            >
              {texts.run}
            </Button>
          )}
          <Button
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/models" params={{ slug }} />}
          >
            {texts.all}
          </Button>
        </>
      }
    >
      {answer.isLoading && <Loading label={texts.loading} />}
      {answer.isError && <ProblemNotice error={answer.error} />}
      {report === null && (
        <EmptyState title={texts.none}>
          <p>{texts.noneWhy}</p>
        </EmptyState>
      )}
      {answer.data && report && (
        <>
          <Report report={report} />
          <Crowd annotators={answer.data.annotators} />
          <Comparison model={model} others={answer.data.comparable} />
          <p className={ui.dim}>{texts.intervals}</p>
        </>
      )}
      {panels(model, slug)}
    </Page>
  );
}

/**
 * The page of one model. For a reward model, the page starts with the report on the held-out rankings. `panels`
 * follow for models of every kind.
 */
export function ModelPage({ panels }: { panels: Panels }) {
  const { slug, modelId } = useParams({ from: "/shell/projects/$slug/models/$modelId" });
  const texts = useTexts();
  const model = useQuery(modelQuery(modelId));
  if (model.isError) {
    return (
      <Page title={texts.none}>
        <ProblemNotice error={model.error} />
      </Page>
    );
  }
  if (!model.data) return <Loading label={texts.loading} />;
  return <ModelView key={modelId} model={model.data} slug={slug} panels={panels} />;
}
