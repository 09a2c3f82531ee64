import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { ago } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { cancelRun, isLive, type ResumeChanges, resumeRun, runQuery } from "../api/runs";
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
import { ResumeButtons } from "./ResumeButtons";
import { ResumePoint } from "./ResumePoint";
import styles from "./run.module.css";
import { Samples } from "./Samples";

function RunView({ run, slug }: { run: Run; slug: string }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const texts = useTexts().run;
  const queryClient = useQueryClient();
  const live = isLive(run);
  const { feed, connection } = useRunFeed(run.id, live);
  const curve = bestOf(feed);
  const act = useMutation({
    mutationFn: (verb: "cancel" | ResumeChanges) =>
      verb === "cancel" ? cancelRun(run.id) : resumeRun(run.id, verb),
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
          {acts && (
            <ResumeButtons run={run} pending={act.isPending} onResume={(changes) => act.mutate(changes)} />
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
