import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { asProblem } from "@/api/problem";
import type { RunEstimate } from "@/api/types";
import { words } from "@/shared/format";
import { Badge, Loading, Panel, type Tone } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { estimateQuery, type LaunchBody } from "../api/runs";
import { settingText } from "../components/Facts";
import { settingName } from "../recipe/names";
import { type RunTexts, useTexts } from "../texts";
import styles from "./launch.module.css";
import { memory, roughTime, weightCount } from "./span";

const TYPING_MS = 500;

/** The run's estimated resources, updated whenever the user pauses after changing settings. */
export function EstimatePanel({ body, valid }: { body: LaunchBody; valid: boolean }) {
  const texts = useTexts().estimate;
  const [settled] = useDebouncedValue(JSON.stringify(body), TYPING_MS);
  const estimate = useQuery({
    ...estimateQuery(JSON.parse(settled) as LaunchBody),
    enabled: valid,
    placeholderData: keepPreviousData,
  });
  const stale = settled !== JSON.stringify(body) || estimate.isPlaceholderData;
  return (
    <Panel title={texts.title}>
      <div aria-live="polite" aria-busy={stale} className={styles.estimate} data-stale={stale && valid}>
        {!valid ? (
          <p className={ui.dim}>{texts.after}</p>
        ) : estimate.isError ? (
          <NoEstimate reasons={[asProblem(estimate.error).title]} title={texts.none} />
        ) : estimate.data?.estimate ? (
          <Figures estimate={estimate.data.estimate} texts={texts} />
        ) : estimate.data ? (
          <NoEstimate reasons={estimate.data.refused.map(({ reason }) => reason)} title={texts.none} />
        ) : (
          <Loading label={texts.asking} />
        )}
      </div>
    </Panel>
  );
}

/**
 * Explains why there is no estimate. The reason is not shown as an error, because the user has not launched
 * the run yet. If the user launches the run, the same problem is reported as an error.
 */
function NoEstimate({ reasons, title }: { reasons: readonly string[]; title: string }) {
  return (
    <div>
      <strong>{title}</strong>
      {reasons.map((reason) => (
        <p key={reason} className={ui.dim}>
          {reason}
        </p>
      ))}
    </div>
  );
}

function verdictOf(fits: boolean | null, texts: RunTexts["estimate"]): { tone: Tone; label: string } {
  if (fits === null) return { tone: "warn", label: texts.tight };
  return fits ? { tone: "good", label: texts.fits } : { tone: "bad", label: texts.tooLarge };
}

/** The device that the estimate assumes, and where the information about the device comes from. */
function placeOf({ machine, workers }: RunEstimate, texts: RunTexts["estimate"]): string {
  const device = machine.device === "cuda" ? texts.gpu(machine.name, machine.gpus) : texts.cpu;
  if (machine.basis === "server") return texts.noWorker;
  if (machine.basis === "worker_gone") return texts.workerGone(device, machine.worker);
  if (machine.basis === "earlier_run") return texts.earlierRun(device);
  return texts.worker(device, machine.worker, workers);
}

function Figures({ estimate, texts }: { estimate: RunEstimate; texts: RunTexts["estimate"] }) {
  const { seconds, disk, machine } = estimate;
  const verdict = verdictOf(estimate.fits, texts);
  const largest = estimate.stages.find((stage) => stage.name === estimate.peak_stage);
  const fitting = Object.entries(estimate.fitting ?? {}).map(
    ([name, value]) => `${settingName(name)} = ${settingText(name, value)}`,
  );
  return (
    <>
      <dl className={styles.figures}>
        <div>
          <dt>{texts.time}</dt>
          <dd>{texts.range(roughTime(seconds.low), roughTime(seconds.high))}</dd>
          <dd className={styles.likely}>{texts.likely(roughTime(seconds.expected))}</dd>
          <dd className={styles.basis}>{estimate.time_basis}</dd>
        </div>
        <div>
          <dt>
            {texts.memory} <Badge tone={verdict.tone}>{verdict.label}</Badge>
          </dt>
          <dd>{texts.range(memory(estimate.memory.low), memory(estimate.memory.high))}</dd>
          <dd className={styles.likely}>
            {machine.memory_bytes > 0
              ? texts.of(memory(machine.memory_bytes), placeOf(estimate, texts))
              : placeOf(estimate, texts)}
          </dd>
          {estimate.host_memory && (
            <dd className={styles.likely}>
              {texts.host(memory(estimate.host_memory.expected), memory(machine.host_memory_bytes))}
            </dd>
          )}
          {estimate.fits === false && (
            <dd className={styles.likely}>
              {fitting.length > 0 ? texts.fitsWith(fitting.join(", ")) : texts.fitsNever}
            </dd>
          )}
          <dd className={styles.basis}>{estimate.memory_basis}</dd>
        </div>
        {disk.model > 0 && (
          <div>
            <dt>{texts.disk}</dt>
            <dd>{memory(disk.model)}</dd>
            {disk.checkpoints > 0 && (
              <dd className={styles.likely}>{texts.checkpoints(memory(disk.checkpoints))}</dd>
            )}
          </div>
        )}
      </dl>
      <details className={styles.parts}>
        <summary>{texts.parts}</summary>
        <p className={ui.dim}>{texts.model(estimate.model, weightCount(estimate.weights))}</p>
        <Sizes title={texts.stage} rows={estimate.stages} texts={texts} />
        {largest && <Sizes title={texts.part(largest.name)} rows={largest.parts} texts={texts} />}
      </details>
    </>
  );
}

function Sizes({
  title,
  rows,
  texts,
}: {
  title: string;
  rows: readonly { name: string; bytes: number }[];
  texts: RunTexts["estimate"];
}) {
  return (
    <table className={ui.table}>
      <thead>
        <tr>
          <th>{title}</th>
          <th className={ui.number}>{texts.size}</th>
        </tr>
      </thead>
      <tbody>
        {rows
          .filter((row) => row.bytes > 0)
          .map((row) => (
            <tr key={row.name}>
              <td>{words(row.name)}</td>
              <td className={ui.number}>{memory(row.bytes)}</td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
