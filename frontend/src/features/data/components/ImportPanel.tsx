import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { type DragEvent, useEffect, useRef, useState } from "react";
import type { ImportReport } from "@/api/types";
import { duration } from "@/shared/format";
import { projectQuery } from "@/shared/session";
import { Bar, Notice, Panel, ProblemNotice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import ui from "@/shared/ui/ui.module.css";
import { formatsQuery } from "../api/data";
import { useTexts } from "../texts";
import {
  defaultOptions,
  type ImportOptions,
  importFile,
  type Phase,
  previewFile,
  wasStopped,
} from "../upload";
import styles from "./data.module.css";
import { ImportSetup } from "./ImportSetup";
import { news, Report } from "./Report";

type Wanted = { file: File; options: ImportOptions; dryRun: boolean; signal: AbortSignal };
type Looked = { file: File; options: ImportOptions };
type Done = { report: ImportReport; ms: number };

/** Shows the elapsed seconds of an operation, so that users can see that it is still running. */
function Seconds({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return <>{duration(Math.max(0, now - since) / 1000)}</>;
}

function Running({
  wanted: { file, dryRun },
  phase,
  trialMs,
  onStop,
}: {
  wanted: Wanted;
  phase: Phase;
  trialMs: number | null;
  onStop: () => void;
}) {
  const { import: texts } = useTexts();
  const [since] = useState(Date.now);
  const says =
    phase.at === "sending"
      ? texts.sending(file.name, file.size)
      : dryRun
        ? texts.reading(file.name)
        : texts.importing(file.name);
  return (
    <div className={styles.running} data-testid="import-running">
      <p role="status">{says}</p>
      <Bar share={phase.share} label={says} />
      <p className={ui.dim}>
        {phase.at === "reading" && `${texts.rows(phase.rows)}, `}
        <Seconds since={since} />
        {!dryRun && trialMs !== null && `, ${texts.trial(duration(trialMs / 1000))}`}
        {!dryRun && `. ${texts.wait}`}
      </p>
      <Button size="compact-xs" variant="default" onClick={onStop}>
        {texts.stop}
      </Button>
    </div>
  );
}

function Known() {
  const { import: texts } = useTexts();
  const { data } = useQuery(formatsQuery);
  if (!data) return null;
  return (
    <details className={styles.known}>
      <summary>{texts.known}</summary>
      <ul>
        {data.imports.map((format) => (
          <li key={format.name}>
            <b>{format.title}</b> <code>{format.name}</code>
          </li>
        ))}
      </ul>
    </details>
  );
}

export function ImportPanel({ slug }: { slug: string }) {
  const { import: texts } = useTexts();
  const queryClient = useQueryClient();
  const input = useRef<HTMLInputElement>(null);
  const stop = useRef<AbortController | null>(null);
  const [over, setOver] = useState(false);
  const [phase, setPhase] = useState<Phase>({ at: "sending", share: 0 });
  const [trial, setTrial] = useState<{ file: File; ms: number } | null>(null);
  const load = useMutation({
    mutationFn: async ({ file, options, dryRun, signal }: Wanted): Promise<Done> => {
      const began = performance.now();
      const report = await importFile(slug, file, { dryRun, options, signal, onPhase: setPhase });
      return { report, ms: performance.now() - began };
    },
    onSuccess: ({ ms }, { file, dryRun }) => setTrial(dryRun ? { file, ms } : null),
    onSettled: (_done, _error, { dryRun }) => {
      if (dryRun) return;
      for (const queryKey of [projectQuery(slug).queryKey, ["tasks", slug], ["rankings", slug]]) {
        void queryClient.invalidateQueries({ queryKey });
      }
    },
  });

  // A file that can be read is checked completely at once. Otherwise, the user chooses the columns first.
  const look = useMutation({
    mutationFn: ({ file, options }: Looked) => previewFile(slug, file, options.mapping),
    onSuccess: ({ problem }, { file, options }) => {
      if (problem === "") send(file, options, true);
    },
  });

  function send(file: File, options: ImportOptions, dryRun: boolean) {
    stop.current = new AbortController();
    load.mutate({ file, options, dryRun, signal: stop.current.signal });
  }

  function take(file: File | undefined) {
    if (!file || load.isPending || look.isPending) return;
    load.reset();
    look.mutate({ file, options: defaultOptions });
  }

  function onDrop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  }

  const done = load.data;
  return (
    <Panel title={texts.title}>
      <div className={ui.stack}>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping a file is a shortcut for the button inside */}
        <div
          className={styles.drop}
          data-over={over}
          data-testid="import-drop"
          onDragOver={(event) => {
            event.preventDefault();
            setOver(true);
          }}
          onDragLeave={() => setOver(false)}
          onDrop={onDrop}
        >
          {load.isPending ? (
            <Running
              wanted={load.variables}
              phase={phase}
              trialMs={trial?.ms ?? null}
              onStop={() => stop.current?.abort()}
            />
          ) : (
            <>
              <Icon name="upload" size={22} />
              <p>{texts.drop}</p>
              <p className={ui.dim}>{texts.formats}</p>
              <Button variant="default" size="xs" onClick={() => input.current?.click()}>
                {done ? texts.chooseAnother : texts.choose}
              </Button>
            </>
          )}
          <input
            ref={input}
            type="file"
            className="visually-hidden"
            aria-label={texts.input}
            tabIndex={-1}
            accept=".jsonl,.json,.gz,.csv,.parquet,.zip"
            onChange={(event) => {
              take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        {look.isError && <ProblemNotice error={look.error} />}
        {look.isSuccess && (!done || done.report.dry_run) && (
          <ImportSetup
            key={look.submittedAt}
            preview={look.data}
            options={look.variables.options}
            busy={load.isPending}
            onApply={(options) => {
              load.reset();
              look.mutate({ file: look.variables.file, options });
            }}
          />
        )}
        {load.isError &&
          (wasStopped(load.error) ? (
            <Notice tone="info" title={texts.stopped} />
          ) : (
            <ProblemNotice error={load.error} />
          ))}
        {load.isSuccess && done && <Report report={done.report} file={load.variables.file.name} />}
        {load.isSuccess && done && (
          <div className={ui.actions}>
            {trial && news(done.report) > 0 && (
              <Button onClick={() => send(trial.file, load.variables.options, false)}>
                {texts.go(done.report.read - done.report.failed)}
              </Button>
            )}
            {trial && news(done.report) === 0 && <p className={ui.dim}>{texts.nothing}</p>}
            {!done.report.dry_run && done.report.tasks > 0 && (
              <Button
                variant="default"
                renderRoot={(props) => <Link {...props} to="/projects/$slug/tasks" params={{ slug }} />}
              >
                {texts.done}
              </Button>
            )}
          </div>
        )}
        <Known />
      </div>
    </Panel>
  );
}
