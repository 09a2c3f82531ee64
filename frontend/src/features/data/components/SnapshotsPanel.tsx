import { Button, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Snapshot } from "@/api/types";
import { ago, count, plural } from "@/shared/format";
import { Icon } from "@/shared/Icon";
import { CopyLine, EmptyState, Loading, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import {
  datasetsLine,
  EXPORT_FORMATS,
  exportUrl,
  fileName,
  freezeSnapshot,
  snapshotsQuery,
} from "../api/data";
import styles from "./data.module.css";

function FreezeForm({ slug, suggestion }: { slug: string; suggestion: string }) {
  const queryClient = useQueryClient();
  const [name, setName] = useState<string | null>(null);
  const chosen = (name ?? suggestion).trim();
  const freeze = useMutation({
    mutationFn: () => freezeSnapshot(slug, chosen),
    onSuccess: async () => {
      setName(null);
      await queryClient.invalidateQueries({ queryKey: snapshotsQuery(slug).queryKey });
    },
  });
  const nameError = freeze.error instanceof ApiProblem ? freeze.error.byField().name : undefined;
  return (
    <form
      className={styles.freeze}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        if (chosen) freeze.mutate();
      }}
    >
      <TextInput
        size="xs"
        aria-label="Name of the snapshot"
        value={name ?? suggestion}
        error={nameError ?? false}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Button type="submit" size="xs" leftSection={<Icon name="lock" size={14} />} loading={freeze.isPending}>
        Freeze snapshot
      </Button>
      {freeze.isError && !nameError && <ProblemNotice error={freeze.error} />}
    </form>
  );
}

function SnapshotItem({ snapshot, open }: { snapshot: Snapshot; open: boolean }) {
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
        <ul className={styles.formats}>
          {EXPORT_FORMATS.map((format) => (
            <li key={format.name}>
              <div className={styles.format}>
                <div>
                  <b>{format.label}</b>
                  <p className={ui.dim}>{format.use}</p>
                </div>
                <Button
                  component="a"
                  href={exportUrl(snapshot, format)}
                  download={fileName(snapshot, format)}
                  size="xs"
                  variant="default"
                  leftSection={<Icon name="download" size={14} />}
                  aria-label={`Download ${snapshot.name} as ${format.label}`}
                >
                  Download
                </Button>
              </div>
              <CopyLine
                text={datasetsLine(snapshot, format)}
                label={`Copy the line that loads ${format.label}`}
              />
            </li>
          ))}
        </ul>
      </div>
    </details>
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
            A snapshot is every current ranking at this moment, hashed and never changed again. Training reads
            snapshots, so what you download is what a model learned from.
          </p>
        </EmptyState>
      )}
      {all.map((snapshot, index) => (
        <SnapshotItem key={snapshot.id} snapshot={snapshot} open={index === 0} />
      ))}
    </Panel>
  );
}
