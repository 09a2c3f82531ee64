import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Queue } from "@/api/types";
import { ago, bytes, count, moment } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";
import { Badge, Loading, Page, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { queueQuery } from "../api/queue";
import { useTexts } from "../texts";

type Run = Queue["running"][number];

/** The training queue of the whole site, for admins. */
export function QueuePage() {
  const texts = useTexts();
  const queue = useQuery(queueQuery);
  return (
    <Page title={texts.title} lead={texts.lead}>
      {queue.isPending && <Loading label={texts.loading} />}
      {queue.isError && <ProblemNotice error={queue.error} />}
      {queue.data && (
        <>
          <Running runs={queue.data.running} />
          <Waiting runs={queue.data.waiting} />
          <Workers workers={queue.data.workers} />
        </>
      )}
    </Page>
  );
}

function RunLink({ run }: { run: Run }) {
  return (
    <Link to="/projects/$slug/runs/$runId" params={{ slug: run.project, runId: run.id }}>
      {kindTitle(run.kind)}
    </Link>
  );
}

const When = ({ at }: { at: string | null }) => (
  <span title={at ? moment(at) : ""}>{at ? ago(at) : "–"}</span>
);

function Running({ runs }: { runs: Queue["running"] }) {
  const texts = useTexts();
  const { columns } = texts;
  return (
    <Panel title={texts.running} flush={runs.length > 0}>
      {runs.length === 0 ? (
        <p className={ui.dim}>{texts.noRunning}</p>
      ) : (
        <TableScroll label={texts.running}>
          <thead>
            <tr>
              <th>{columns.run}</th>
              <th>{columns.project}</th>
              <th>{columns.progress}</th>
              <th>{columns.worker}</th>
              <th>{columns.device}</th>
              <th>{columns.heartbeat}</th>
            </tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <tr key={run.id}>
                <th scope="row">
                  <RunLink run={run} />
                </th>
                <td>{run.project}</td>
                <td>{texts.progress(run.phase, run.step, run.total_steps)}</td>
                <td className={ui.mono}>{run.worker}</td>
                <td>{run.device || "–"}</td>
                <td>
                  <When at={run.heartbeat_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
    </Panel>
  );
}

function Waiting({ runs }: { runs: Queue["waiting"] }) {
  const texts = useTexts();
  const { columns } = texts;
  return (
    <Panel title={texts.waiting} flush={runs.length > 0}>
      {runs.length === 0 ? (
        <p className={ui.dim}>{texts.noWaiting}</p>
      ) : (
        <TableScroll label={texts.waiting}>
          <thead>
            <tr>
              <th className={ui.number}>{columns.position}</th>
              <th>{columns.run}</th>
              <th>{columns.project}</th>
              <th>{columns.waitsFor}</th>
              <th>{columns.since}</th>
            </tr>
          </thead>
          <tbody>
            {runs.map(({ run, position, waits_for }) => (
              <tr key={run.id}>
                <td className={ui.number}>{count(position)}</td>
                <th scope="row">
                  <RunLink run={run} />
                </th>
                <td>{run.project}</td>
                <td>{waits_for}</td>
                <td>
                  <When at={run.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
    </Panel>
  );
}

function Workers({ workers }: { workers: Queue["workers"] }) {
  const texts = useTexts();
  const { columns } = texts;
  return (
    <Panel title={texts.workers} flush={workers.length > 0}>
      {workers.length === 0 ? (
        <p className={ui.dim}>{texts.noWorkers}</p>
      ) : (
        <TableScroll label={texts.workers}>
          <thead>
            <tr>
              <th>{columns.worker}</th>
              <th>{columns.state}</th>
              <th>{columns.seen}</th>
              <th>{columns.gpus}</th>
              <th className={ui.number}>{columns.memory}</th>
              <th className={ui.number}>{columns.threads}</th>
            </tr>
          </thead>
          <tbody>
            {workers.map((worker) => (
              <tr key={worker.name}>
                <th scope="row" className={ui.mono}>
                  {worker.name}
                </th>
                <td>
                  <Badge tone={worker.is_running ? "good" : "warn"}>
                    {worker.is_running ? texts.runningWorker : texts.lostWorker}
                  </Badge>
                </td>
                <td>
                  <When at={worker.seen_at} />
                </td>
                <td>
                  {worker.gpus
                    .map(({ name, memory_bytes }) => `${name} (${bytes(memory_bytes)})`)
                    .join(", ") || texts.none}
                </td>
                <td className={ui.number}>{bytes(worker.memory_bytes)}</td>
                <td className={ui.number}>{count(worker.threads)}</td>
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
    </Panel>
  );
}
