import { Button } from "@mantine/core";
import { useInfiniteQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { ago } from "@/shared/format";
import { Icon } from "@/shared/Icon";
import { may, meQuery } from "@/shared/session";
import { Bar, EmptyState, Loading, Page, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { runsQuery } from "../api/runs";
import { kindTitle, StateBadge, Took } from "./RunBits";

function Outcome({ run }: { run: Run }) {
  if (run.state === "running") {
    return (
      <Bar
        share={run.total_steps ? run.step / run.total_steps : 0}
        label={`${kindTitle(run.kind)} progress`}
      />
    );
  }
  if (run.error) return run.error.title;
  if (run.result.model) return <span className={ui.mono}>{run.result.model.name}</span>;
  const counts = Object.entries(run.result.counts ?? {});
  return <>{counts.map(([name, value]) => `${value} ${name.replaceAll("_", " ")}`).join(", ") || "–"}</>;
}

export function RunsPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/runs" });
  const { data: me } = useSuspenseQuery(meQuery);
  const runs = useInfiniteQuery(runsQuery(slug));
  const launches = me && may.launchRuns(me);
  const all = runs.data?.pages.flatMap((page) => page.results) ?? [];
  const launchButton = launches && (
    <Button
      leftSection={<Icon name="plus" />}
      renderRoot={(props) => <Link {...props} to="/projects/$slug/runs/new" params={{ slug }} />}
    >
      New run
    </Button>
  );

  return (
    <Page
      title="Runs"
      lead="Everything that has trained, sampled or evaluated a model in this project."
      actions={launchButton}
    >
      {runs.isError && <ProblemNotice error={runs.error} />}
      {runs.isPending && <Loading label="Loading runs" />}
      {runs.isSuccess && all.length === 0 && (
        <EmptyState title="No run yet" actions={launchButton}>
          <p>
            A turn of the loop is four runs: a reward model learns from the rankings, rejection sampling or
            PPO improves the policy with it, and the improved policy samples the next responses to rank.
          </p>
          <p>
            Start with a reward model once some tasks are ranked, or with SFT if the project has no policy.
          </p>
        </EmptyState>
      )}
      {all.length > 0 && (
        <Panel flush>
          <TableScroll label="Runs, table">
            <thead>
              <tr>
                <th>Run</th>
                <th>State</th>
                <th>Outcome</th>
                <th>By</th>
                <th>Started</th>
                <th className={ui.number}>Took</th>
              </tr>
            </thead>
            <tbody>
              {all.map((run) => (
                <tr key={run.id}>
                  <td>
                    <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: run.id }}>
                      {kindTitle(run.kind)}
                    </Link>
                  </td>
                  <td>
                    <StateBadge state={run.state} />
                  </td>
                  <td style={{ minWidth: 180 }}>
                    <Outcome run={run} />
                  </td>
                  <td>{run.created_by ?? "–"}</td>
                  <td title={run.created_at}>{ago(run.created_at)}</td>
                  <td className={ui.number}>
                    <Took run={run} />
                  </td>
                </tr>
              ))}
            </tbody>
          </TableScroll>
        </Panel>
      )}
      {runs.hasNextPage && (
        <Button variant="default" onClick={() => void runs.fetchNextPage()} loading={runs.isFetchingNextPage}>
          Older runs
        </Button>
      )}
    </Page>
  );
}
