import type { Run } from "@/api/types";
import { roughly, words } from "@/shared/format";
import { Bar } from "@/shared/ui";
import type { Progress } from "../feed/feed";
import type { Connection } from "../feed/watchRun";
import { useTexts } from "../texts";
import styles from "./run.module.css";

export function ProgressPanel({
  run,
  progress,
  connection,
}: {
  run: Run;
  progress: Progress | null;
  connection: Connection;
}) {
  const texts = useTexts().run;
  const connections: Record<Connection, string> = {
    connecting: texts.connecting,
    live: texts.live,
    polling: texts.polling,
    closed: "",
  };
  const step = progress?.step ?? run.step;
  const total = progress?.total_steps ?? run.total_steps;
  const phase = progress?.phase ?? run.phase;
  const left = progress ? progress.eta_seconds : run.eta_seconds;
  return (
    <div className={styles.progress}>
      <div className={styles.progressLine}>
        <strong>{phase ? words(phase) : run.state === "queued" ? texts.waiting : texts.starting}</strong>
        {total > 0 && <span>{texts.stepOf(step, total)}</span>}
        {left !== null && left !== undefined && run.state === "running" && (
          <span>{texts.left(roughly(left))}</span>
        )}
        <span className={styles.live} data-connection={connection}>
          {connections[connection]}
        </span>
      </div>
      <Bar share={total > 0 ? step / total : 0} label={texts.progress} />
    </div>
  );
}
