import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { ago } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { cancelRun, isLive, resumeRun, runQuery } from "../api/runs";
import { Facts } from "../components/Facts";
import { StateBadge, Took } from "../components/RunBits";
import { bestOf } from "../feed/bestOf";
import { useRunFeed } from "../feed/useRunFeed";
import { useTexts } from "../texts";
import { BestOfCurve } from "./BestOfCurve";
import { Candidates } from "./Candidates";
import { Curves } from "./Curves";
import { FailurePanel } from "./FailurePanel";
import { Interruptions } from "./Interruptions";
import { Log } from "./Log";
import { ProgressPanel } from "./ProgressPanel";
import { Result } from "./Result";
import { ResumePoint } from "./ResumePoint";
import styles from "./run.module.css";
import { Samples } from "./Samples";

/**
 * The new time limit, in minutes, for resuming a run that has reached its limit: twice the old limit.
 * Undefined for all other runs.
 */
function higherLimitOf(run: Run): number | undefined {
  const limit = run.recipe.max_minutes;
  return run.failure?.kind === "time_limit" && typeof limit === "number" ? 2 * limit : undefined;
}

function RunView({ run, slug }: { run: Run; slug: string }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const texts = useTexts().run;
  const queryClient = useQueryClient();
  const live = isLive(run);
  const { feed, connection } = useRunFeed(run.id, live);
  const curve = bestOf(feed);
  const higherLimit = higherLimitOf(run);
  const act = useMutation({
    mutationFn: (verb: "cancel" | "resume") =>
      verb === "cancel" ? cancelRun(run.id) : resumeRun(run.id, higherLimit),
    onSuccess: (changed) => {
      queryClient.setQueryData(runQuery(run.id).queryKey, changed);
      void queryClient.invalidateQueries({ queryKey: ["runs"] });
    },
  });
  const cancelling = live && (run.cancel_requested_at ?? null) !== null;
  const acts = me ? may.launchRuns(me) : false;
  const when = ago(run.created_at);

  return (
    <Page
      title={kindTitle(run.kind)}
      lead={
        <span className={styles.lead}>
          <StateBadge state={run.state} />
          <span>{run.created_by ? texts.launchedBy(when, run.created_by) : texts.launched(when)}</span>
          {run.started_at && (
            <span>
              {run.finished_at ? texts.took : texts.runningFor} <Took run={run} />
            </span>
          )}
          {run.attempt > 1 && <span>{texts.attempt(run.attempt)}</span>}
        </span>
      }
      actions={
        <>
          {acts && live && (
            <Button
              variant="default"
              disabled={cancelling}
              loading={act.isPending}
              onClick={() => act.mutate("cancel")}
            >
              {cancelling ? texts.stopping : texts.cancel}
            </Button>
          )}
          {acts && (run.state === "failed" || run.state === "cancelled") && (
            <Button
              variant={run.failure?.again ? "filled" : "default"}
              loading={act.isPending}
              onClick={() => act.mutate("resume")}
            >
              {higherLimit !== undefined
                ? texts.againFor(higherLimit)
                : (run.checkpoint_step ?? null) === null
                  ? texts.again
                  : texts.resume}
            </Button>
          )}
          <Button
            variant="default"
            renderRoot={(props) => (
              <Link {...props} to="/projects/$slug/runs" params={{ slug }} search={{ pick: run.id }} />
            )}
          >
            {texts.compareWith}
          </Button>
          <Button
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/runs" params={{ slug }} />}
          >
            {texts.all}
          </Button>
        </>
      }
    >
      {act.isError && <ProblemNotice error={act.error} />}
      {run.failure && <FailurePanel run={run} failure={run.failure} slug={slug} acts={acts} />}
      <Interruptions run={run} />
      <ResumePoint run={run} />
      {live && <ProgressPanel run={run} progress={feed.progress} connection={connection} />}
      {run.state === "succeeded" && <Result run={run} slug={slug} />}
      {run.state === "queued" && (
        <EmptyState title={texts.notStarted}>
          <p>{texts.notStartedWhy}</p>
        </EmptyState>
      )}
      <Candidates run={run} asks={acts} />
      {curve && <BestOfCurve curve={curve} />}
      <Curves feed={feed} resultShown={Object.keys(run.result.metrics ?? {}).length > 0} />
      {feed.samples.length > 0 && <Samples samples={feed.samples} />}
      <div className={styles.foot}>
        <Log run={run} />
        <Facts run={run} />
      </div>
    </Page>
  );
}

export function RunPage() {
  const { slug, runId } = useParams({ from: "/shell/projects/$slug/runs/$runId" });
  const texts = useTexts().run;
  const run = useQuery(runQuery(runId));
  if (run.isError) {
    return (
      <Page title={texts.title}>
        <ProblemNotice error={run.error} />
      </Page>
    );
  }
  if (!run.data) return <Loading label={texts.loading} />;
  return <RunView key={runId} run={run.data} slug={slug} />;
}
