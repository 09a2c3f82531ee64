import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import type { Run } from "@/api/types";
import { ago, roughly, words } from "@/shared/format";
import { may, meQuery } from "@/shared/session";
import { Bar, EmptyState, Loading, Notice, Page, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { cancelRun, isLive, logQuery, resumeRun, runQuery } from "../api/runs";
import type { Progress } from "../feed/feed";
import { groupMetrics } from "../feed/groups";
import { useRunFeed } from "../feed/useRunFeed";
import type { Connection } from "../feed/watchRun";
import chart from "./chart.module.css";
import { Result } from "./Result";
import { kindTitle, StateBadge, Took } from "./RunBits";
import styles from "./run.module.css";
import { Samples } from "./Samples";

const Chart = lazy(() => import("./Chart").then((module) => ({ default: module.Chart })));

const CONNECTIONS: Record<Connection, string> = {
  connecting: "Connecting…",
  live: "Live",
  polling: "Updating every 2 s (no live stream)",
  closed: "",
};

function ProgressPanel({
  run,
  progress,
  connection,
}: {
  run: Run;
  progress: Progress | null;
  connection: Connection;
}) {
  const step = progress?.step ?? run.step;
  const total = progress?.total_steps ?? run.total_steps;
  const phase = progress?.phase ?? run.phase;
  const left = progress ? progress.eta_seconds : run.eta_seconds;
  return (
    <div className={styles.progress}>
      <div className={styles.progressLine}>
        <strong>
          {run.state === "queued" ? "Waiting for the training worker" : phase ? words(phase) : "Starting"}
        </strong>
        {total > 0 && (
          <span>
            step {step} of {total}
          </span>
        )}
        {left !== null && left !== undefined && run.state === "running" && <span>{roughly(left)} left</span>}
        <span className={styles.live} data-connection={connection}>
          {CONNECTIONS[connection]}
        </span>
      </div>
      <Bar share={total > 0 ? step / total : 0} label="Progress of the run" />
    </div>
  );
}

const FEW_CURVES = 3;

function Curves({ feed }: { feed: ReturnType<typeof useRunFeed>["feed"] }) {
  const [wanted, setWanted] = useState<boolean | null>(null);
  const groups = groupMetrics(Object.keys(feed.series));
  const hidden = groups.filter((group) => group.detail).length;
  // A run with one or two curves has room for the others at once.
  const details = wanted ?? groups.length - hidden < FEW_CURVES;
  if (groups.length === 0) return null;
  return (
    <section aria-label="Curves" className={ui.stack}>
      <Suspense fallback={<Loading label="Loading charts" />}>
        <div className={chart.grid}>
          {groups
            .filter((group) => details || !group.detail)
            .map((group) => (
              <Chart
                key={group.title}
                title={group.title}
                names={group.names}
                series={group.names.map((name) => feed.series[name] ?? { steps: [], values: [] })}
              />
            ))}
        </div>
      </Suspense>
      {hidden > 0 && (
        <div>
          <Button size="compact-sm" variant="subtle" color="gray" onClick={() => setWanted(!details)}>
            {details ? "Fewer curves" : `${hidden} more: learning rate, speed, …`}
          </Button>
        </div>
      )}
    </section>
  );
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: libraries colour what they print
const ANSI_COLOURS = /\u001b\[[0-9;]*m/g;

function Log({ run }: { run: Run }) {
  const log = useQuery(logQuery(run.id, isLive(run)));
  const lines = (log.data?.lines ?? []).map((line) => line.replaceAll(ANSI_COLOURS, ""));
  const box = useRef<HTMLElement>(null);
  const follows = useRef(true);
  const lastLine = lines.at(-1);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new last line is what moves the view
  useEffect(() => {
    if (follows.current && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [lastLine, lines.length]);
  return (
    <Panel title="Log" aside={<span className={ui.dim}>last 200 lines</span>} flush>
      {log.isError ? (
        <div style={{ padding: 12 }}>
          <ProblemNotice error={log.error} />
        </div>
      ) : (
        <section
          ref={box}
          className={styles.log}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
          aria-label="Log of the run"
          onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
            // Scrolled up to read: stop following until they come back to the end.
            follows.current = scrollHeight - scrollTop - clientHeight < 24;
          }}
        >
          <pre>{lines.length ? lines.join("\n") : "Nothing has been written yet."}</pre>
        </section>
      )}
    </Panel>
  );
}

function Facts({ run }: { run: Run }) {
  const inputs = Object.entries(run.inputs).filter(([, value]) => value);
  const settings = Object.entries(run.recipe);
  return (
    <Panel title="Recipe" flush>
      <dl className={styles.facts}>
        {inputs.map(([name, value]) => (
          <div key={name}>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>{String(value)}</dd>
          </div>
        ))}
        {settings.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>
              {value === null || value === ""
                ? "–"
                : typeof value === "string"
                  ? value
                  : JSON.stringify(value)}
            </dd>
          </div>
        ))}
      </dl>
    </Panel>
  );
}

function RunView({ run, slug }: { run: Run; slug: string }) {
  const { data: me } = useSuspenseQuery(meQuery);
  const queryClient = useQueryClient();
  const live = isLive(run);
  const { feed, connection } = useRunFeed(run.id, live);
  const act = useMutation({
    mutationFn: (verb: "cancel" | "resume") => (verb === "cancel" ? cancelRun(run.id) : resumeRun(run.id)),
    onSuccess: (changed) => {
      queryClient.setQueryData(runQuery(run.id).queryKey, changed);
      void queryClient.invalidateQueries({ queryKey: ["runs"] });
    },
  });
  const cancelling = live && (run.cancel_requested_at ?? null) !== null;
  const acts = me && may.launchRuns(me);

  return (
    <Page
      title={kindTitle(run.kind)}
      lead={
        <span className={styles.lead}>
          <StateBadge state={run.state} />
          <span>
            launched {ago(run.created_at)}
            {run.created_by && ` by ${run.created_by}`}
          </span>
          {run.started_at && (
            <span>
              {run.finished_at ? "took" : "running for"} <Took run={run} />
            </span>
          )}
          {run.attempt > 1 && <span>attempt {run.attempt}</span>}
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
              {cancelling ? "Stopping at the next step…" : "Cancel run"}
            </Button>
          )}
          {acts && (run.state === "failed" || run.state === "cancelled") && (
            <Button loading={act.isPending} onClick={() => act.mutate("resume")}>
              Run again
            </Button>
          )}
          <Button
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/runs" params={{ slug }} />}
          >
            All runs
          </Button>
        </>
      }
    >
      {act.isError && <ProblemNotice error={act.error} />}
      {run.error && (
        <Notice tone="bad" title={run.error.title}>
          <p>{run.error.detail}</p>
          {run.error.fix && (
            <p>
              <b>What to do: </b>
              {run.error.fix}
            </p>
          )}
        </Notice>
      )}
      {live && <ProgressPanel run={run} progress={feed.progress} connection={connection} />}
      {run.state === "succeeded" && <Result run={run} slug={slug} />}
      {run.state === "queued" && (
        <EmptyState title="This run has not started">
          <p>
            Runs train one at a time. It starts by itself when the worker is free; you may leave this page.
          </p>
        </EmptyState>
      )}
      <Curves feed={feed} />
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
  const run = useQuery(runQuery(runId));
  if (run.isError) {
    return (
      <Page title="Run">
        <ProblemNotice error={run.error} />
      </Page>
    );
  }
  if (!run.data) return <Loading label="Loading the run" />;
  return <RunView key={runId} run={run.data} slug={slug} />;
}
