import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { ExportFormat, Snapshot } from "@/api/types";
import { ago, count, plural } from "@/shared/format";
import { Icon } from "@/shared/Icon";
import { CopyLine, EmptyState, Loading, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { datasetsLine, exportUrl, fileName, formatsQuery, snapshotsQuery } from "../api/data";
import styles from "./data.module.css";
import { FreezeForm } from "./FreezeForm";

function SnapshotItem({ snapshot, open }: { snapshot: Snapshot; open: boolean }) {
  const formats = useQuery(formatsQuery);
  return (
    <details className={styles.snapshot} open={open} data-testid="snapshot">
      <summary>
        <Icon name="right" size={14} />
        <span className={styles.snapshotName}>{snapshot.name}</span>
        <span>
          {plural(snapshot.rows, "ranking")}, {plural(snapshot.comparisons, "comparison")}
        </span>
        <span className={ui.dim} title={snapshot.created_at}>
          {ago(snapshot.created_at)}
        </span>
      </summary>
      <div className={styles.snapshotBody}>
        <p className={ui.dim}>
          SHA-256 <span className={ui.mono}>{snapshot.sha256}</span>
        </p>
        {Object.keys(snapshot.selection).length > 0 && (
          <p className={ui.dim}>
            Selected <span className={ui.mono}>{JSON.stringify(snapshot.selection)}</span>
          </p>
        )}
        {formats.isError && <ProblemNotice error={formats.error} />}
        <ul className={styles.formats}>
          {formats.data?.exports.map((format) => (
            <FormatItem key={format.name} snapshot={snapshot} format={format} />
          ))}
        </ul>
      </div>
    </details>
  );
}

function FormatItem({ snapshot, format }: { snapshot: Snapshot; format: ExportFormat }) {
  const refused = (snapshot.refused_exports as Record<string, string>)[format.name];
  const line = datasetsLine(snapshot, format);
  return (
    <li>
      <div className={styles.format}>
        <div>
          <b>{format.title}</b>
          <p className={ui.dim}>{refused ?? format.use}</p>
        </div>
        {refused === undefined && (
          <Button
            component="a"
            href={exportUrl(snapshot, format)}
            download={fileName(snapshot, format)}
            size="xs"
            variant="default"
            leftSection={<Icon name="download" size={14} />}
            aria-label={`Download ${snapshot.name} as ${format.title}`}
          >
            Download
          </Button>
        )}
      </div>
      {line && refused === undefined && (
        <CopyLine text={line} label={`Copy the line that loads ${format.title}`} />
      )}
    </li>
  );
}

export function SnapshotsPanel({ slug }: { slug: string }) {
  const snapshots = useQuery(snapshotsQuery(slug));
  const all = snapshots.data ?? [];
  const suggestion = `v${count(all.length + 1)}`;
  return (
    <Panel
      title="Snapshots"
      aside={snapshots.isSuccess && <FreezeForm key={suggestion} slug={slug} suggestion={suggestion} />}
      flush={all.length > 0}
    >
      {snapshots.isError && <ProblemNotice error={snapshots.error} />}
      {snapshots.isPending && <Loading label="Loading snapshots" />}
      {snapshots.isSuccess && all.length === 0 && (
        <EmptyState title="Nothing frozen yet">
          <p>
            A snapshot is every ranking that counts at this moment, or those you choose, hashed and never
            changed again. Training reads snapshots, so what you download is what a model learned from.
          </p>
        </EmptyState>
      )}
      {all.map((snapshot, index) => (
        <SnapshotItem key={snapshot.id} snapshot={snapshot} open={index === 0} />
      ))}
    </Panel>
  );
}
