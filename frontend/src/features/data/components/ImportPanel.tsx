import { Button, Checkbox } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type DragEvent, useRef, useState } from "react";
import type { ImportReport } from "@/api/types";
import { bytes, count, plural } from "@/shared/format";
import { Icon } from "@/shared/Icon";
import { projectQuery } from "@/shared/session";
import { Notice, Panel, ProblemNotice, Stats } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { importFile } from "../api/data";
import styles from "./data.module.css";

const SHOWN_ERRORS = 100;
const SHOWN_LINES = 5;

function Quirks({ quirks }: { quirks: ImportReport["quirks"] }) {
  return (
    <table className={ui.table} data-testid="import-quirks">
      <caption className="visually-hidden">What was odd, and what was done about it</caption>
      <thead>
        <tr>
          <th className={ui.number}>Rows</th>
          <th>What was odd</th>
          <th>Lines</th>
        </tr>
      </thead>
      <tbody>
        {quirks.map((quirk) => (
          <tr key={quirk.name}>
            <td className={ui.number}>{count(quirk.count)}</td>
            <td>{quirk.text}</td>
            <td>
              {quirk.lines.slice(0, SHOWN_LINES).join(", ")}
              {quirk.count > SHOWN_LINES && " …"}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Report({ report, file }: { report: ImportReport; file: string }) {
  const landed = report.prompts + report.responses + report.tasks + report.rankings;
  const bad = report.failed;
  const shown = report.errors.slice(0, SHOWN_ERRORS);
  return (
    <div className={ui.stack} data-testid="import-report">
      <Notice
        tone={bad > 0 ? "warn" : "good"}
        title={
          landed === 0 && bad === 0
            ? `${file} ${report.dry_run ? "is" : "was"} already here; nothing ${report.dry_run ? "would change" : "changed"}`
            : `${file}: ${plural(report.read, "row")} read as ${report.format}${bad ? `, ${plural(bad, "row")} could not be used` : ""}`
        }
      >
        {report.dry_run && <p>This was a trial: nothing was kept.</p>}
      </Notice>
      <Stats
        items={[
          { label: "new prompts", value: count(report.prompts) },
          { label: "new responses", value: count(report.responses) },
          { label: "new tasks", value: count(report.tasks) },
          { label: "new rankings", value: count(report.rankings) },
          { label: "already here", value: count(report.unchanged) },
        ]}
      />
      {report.quirks.length > 0 && <Quirks quirks={report.quirks} />}
      {bad > 0 && (
        <section
          className={styles.errors}
          aria-label="Rows left out"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard
          tabIndex={0}
        >
          <table className={ui.table}>
            <thead>
              <tr>
                <th className={ui.number}>Line</th>
                <th>Why it was left out</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((error) => (
                <tr key={`${error.line} ${error.reason}`}>
                  <td className={ui.number}>{count(error.line)}</td>
                  <td>{error.reason}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {bad > shown.length && <p className={styles.more}>and {plural(bad - shown.length, "more row")}</p>}
        </section>
      )}
    </div>
  );
}

export function ImportPanel({ slug }: { slug: string }) {
  const queryClient = useQueryClient();
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [dryRun, setDryRun] = useState(false);
  const load = useMutation({
    mutationFn: (file: File) => importFile(slug, file, dryRun),
    onSettled: () => queryClient.invalidateQueries({ queryKey: projectQuery(slug).queryKey }),
  });

  function take(file: File | undefined) {
    if (file && !load.isPending) load.mutate(file);
  }

  function onDrop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  }

  return (
    <Panel title="Import">
      <div className={ui.stack}>
        {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is a shortcut; the button inside does the same */}
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
          <Icon name="upload" size={22} />
          <p>
            {load.isPending
              ? `Reading ${load.variables.name} (${bytes(load.variables.size)})…`
              : "Drop a file of prompts and responses here"}
          </p>
          <p className={ui.dim}>
            .jsonl, .json, .csv (also .gz) or .parquet. The format is recognised; loading a file again adds
            nothing twice.
          </p>
          <Button variant="default" size="xs" loading={load.isPending} onClick={() => input.current?.click()}>
            Choose a file
          </Button>
          <input
            ref={input}
            type="file"
            className="visually-hidden"
            aria-label="File to import"
            tabIndex={-1}
            accept=".jsonl,.json,.gz,.csv,.parquet"
            onChange={(event) => {
              take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        <Checkbox
          size="xs"
          label="Only try: report what would come in, keep nothing"
          checked={dryRun}
          disabled={load.isPending}
          onChange={(event) => setDryRun(event.currentTarget.checked)}
        />
        {load.isError && <ProblemNotice error={load.error} />}
        {load.isSuccess && <Report report={load.data} file={load.variables.name} />}
      </div>
    </Panel>
  );
}
