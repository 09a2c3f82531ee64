import { Button } from "@mantine/core";
import { useInfiniteQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { figureName, tellingFirst } from "@/shared/figures";
import { ago, count, metric, moment } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { may, meQuery } from "@/shared/session";
import { Bar, EmptyState, Loading, Page, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import ui from "@/shared/ui/ui.module.css";
import { runsQuery } from "../api/runs";
import styles from "../compare/compare.module.css";
import { MAX_COMPARED, picked, toggled } from "../compare/pick";
import { useTexts } from "../texts";
import { StateBadge, Took } from "./RunBits";

function Outcome({ run }: { run: Run }) {
  const texts = useTexts().list;
  if (run.state === "running") {
    return (
      <Bar
        share={run.total_steps ? run.step / run.total_steps : 0}
        label={texts.progress(kindTitle(run.kind))}
      />
    );
  }
  if (run.state === "failed" && run.failure) return run.failure.title;
  const { model, counts = {}, metrics = {} } = run.result;
  const [most] = tellingFirst(metrics);
  const told = Object.entries(counts).filter(([, value]) => value !== 0);
  return (
    <>
      {model ? (
        <span className={ui.mono}>{model.name}</span>
      ) : (
        told.map(([name, value]) => `${count(value)} ${name.replaceAll("_", " ")}`).join(", ") || "–"
      )}
      {most && <span className={styles.most}>{`${figureName(most[0])} ${metric(most[1])}`}</span>}
    </>
  );
}

/** The selected runs, and the button that compares them. */
function PickBar({ slug, picks, onClear }: { slug: string; picks: readonly string[]; onClear: () => void }) {
  const texts = useTexts().list;
  return (
    <div className={styles.pickBar} role="status">
      <span>{picks.length < 2 ? texts.pickHint : texts.picked(picks.length)}</span>
      {picks.length > 1 && (
        <Button
          size="xs"
          renderRoot={(props) => (
            <Link
              {...props}
              to="/projects/$slug/runs/compare"
              params={{ slug }}
              search={{ runs: picks.join(",") }}
            />
          )}
        >
          {texts.compare}
        </Button>
      )}
      {picks.length > 0 && (
        <Button size="xs" variant="subtle" color="gray" onClick={onClear}>
          {texts.clear}
        </Button>
      )}
    </div>
  );
}

export function RunsPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/runs" });
  const search = useSearch({ from: "/shell/projects/$slug/runs" });
  const texts = useTexts().list;
  const navigate = useNavigate();
  const { data: me } = useSuspenseQuery(meQuery);
  const runs = useInfiniteQuery(runsQuery(slug));
  const launches = me && may.launchRuns(me);
  const all = runs.data?.pages.flatMap((page) => page.results) ?? [];
  const picks = picked(search.pick);
  const pick = (ids: readonly string[]) =>
    void navigate({
      to: ".",
      search: ids.length > 0 ? { pick: ids.join(",") } : {},
      replace: true,
      resetScroll: false,
    });
  const launchButton = launches && (
    <Button
      leftSection={<Icon name="plus" />}
      renderRoot={(props) => <Link {...props} to="/projects/$slug/runs/new" params={{ slug }} />}
    >
      {texts.new}
    </Button>
  );

  return (
    <Page title={texts.title} lead={texts.lead} actions={launchButton}>
      {runs.isError && <ProblemNotice error={runs.error} />}
      {runs.isPending && <Loading label={texts.loading} />}
      {runs.isSuccess && all.length === 0 && (
        <EmptyState title={texts.none} actions={launchButton}>
          <p>{texts.loop}</p>
          <p>{texts.first}</p>
        </EmptyState>
      )}
      {all.length > 1 && <PickBar slug={slug} picks={picks} onClear={() => pick([])} />}
      {all.length > 0 && (
        <Panel flush>
          <TableScroll label={texts.table}>
            <thead>
              <tr>
                <th>
                  <span className="visually-hidden">{texts.choose}</span>
                </th>
                <th>{texts.run}</th>
                <th>{texts.state}</th>
                <th>{texts.outcome}</th>
                <th>{texts.by}</th>
                <th>{texts.started}</th>
                <th className={ui.number}>{texts.took}</th>
              </tr>
            </thead>
            <tbody>
              {all.map((run) => (
                <tr key={run.id} data-picked={picks.includes(run.id)}>
                  <td className={styles.pickCell}>
                    <label className={styles.pick}>
                      <input
                        type="checkbox"
                        aria-label={texts.pick(kindTitle(run.kind), ago(run.created_at))}
                        checked={picks.includes(run.id)}
                        disabled={!picks.includes(run.id) && picks.length >= MAX_COMPARED}
                        onChange={() => pick(toggled(picks, run.id))}
                      />
                    </label>
                  </td>
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
                  <td title={moment(run.created_at)} className={styles.when}>
                    {ago(run.created_at)}
                  </td>
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
          {texts.older}
        </Button>
      )}
    </Page>
  );
}
