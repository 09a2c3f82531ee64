import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type DragEvent, useEffect, useRef, useState } from "react";
import type { Import } from "@/api/types";
import { isFinal } from "@/shared/jobs";
import { meQuery, projectQuery } from "@/shared/session";
import { Notice, Panel, ProblemNotice } from "@/shared/ui";
import { Icon } from "@/shared/ui/Icon";
import ui from "@/shared/ui/ui.module.css";
import { formatsQuery } from "../api/data";
import { importQuery, importsQuery } from "../api/imports";
import { useTexts } from "../texts";
import { defaultOptions, type ImportOptions, previewFile, uploadFile, wasStopped } from "../upload";
import styles from "./data.module.css";
import { HubForm } from "./HubForm";
import { ImportSetup } from "./ImportSetup";
import { Outcome } from "./Outcome";
import { Running, Sending } from "./Running";

type Upload = { file: File; options: ImportOptions; dryRun: boolean; signal: AbortSignal };
type Looked = { file: File; options: ImportOptions };

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

/**
 * The import that the panel shows: the import started on this page, or else the user's own unfinished import
 * (for example, after a reload).
 */
function useCurrentImport(slug: string) {
  const queryClient = useQueryClient();
  const [started, setStarted] = useState<string | null>(null);
  const { data: list, error: listError } = useInfiniteQuery(importsQuery(slug));
  const { data: me } = useQuery(meQuery);
  const own = list?.find((row) => !isFinal(row.state) && row.created_by === me?.username);
  const id = started ?? own?.id ?? null;
  const { data: current, error } = useQuery({ ...importQuery(id ?? ""), enabled: id !== null });
  const ended = current && isFinal(current.state) ? current.id : null;
  useEffect(() => {
    if (ended === null) return;
    setStarted(ended);
    for (const queryKey of [
      importsQuery(slug).queryKey,
      projectQuery(slug).queryKey,
      ["tasks", slug],
      ["rankings", slug],
    ]) {
      void queryClient.invalidateQueries({ queryKey });
    }
  }, [ended, slug, queryClient]);
  /** Shows the import that the server has just queued. */
  const follow = (queued: Import) => {
    queryClient.setQueryData(importQuery(queued.id).queryKey, queued);
    void queryClient.invalidateQueries({ queryKey: importsQuery(slug).queryKey });
    setStarted(queued.id);
  };
  return {
    current: id === null ? undefined : current,
    error: error ?? listError,
    follow,
    clear: () => setStarted(null),
  };
}

export function ImportPanel({ slug }: { slug: string }) {
  const { import: texts } = useTexts();
  const input = useRef<HTMLInputElement>(null);
  const stop = useRef<AbortController | null>(null);
  const [over, setOver] = useState(false);
  const [share, setShare] = useState(0);
  const { current, error, follow, clear } = useCurrentImport(slug);
  const upload = useMutation({
    mutationFn: ({ file, options, dryRun, signal }: Upload) =>
      uploadFile(slug, file, { dryRun, options, signal, onShare: setShare }),
    onSuccess: follow,
  });
  // If the preview reports no problem, all rows are checked immediately. Otherwise, the user first chooses the
  // columns.
  const look = useMutation({
    mutationFn: ({ file, options }: Looked) => previewFile(slug, file, options.mapping),
    onSuccess: ({ problem, remembered, mapping }, { file, options }) => {
      if (problem === "") send(file, remembered ? { ...options, mapping } : options, true);
    },
  });
  const running = current && !isFinal(current.state) ? current : undefined;
  const busy = upload.isPending || look.isPending || running !== undefined;

  function send(file: File, options: ImportOptions, dryRun: boolean) {
    stop.current = new AbortController();
    clear();
    upload.mutate({ file, options, dryRun, signal: stop.current.signal });
  }

  function take(file: File | undefined) {
    if (!file || busy) return;
    upload.reset();
    clear();
    look.mutate({ file, options: defaultOptions });
  }

  function onDrop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  }

  // The file of the shown import, if it was chosen on this page.
  const chosen = upload.data && upload.data.id === current?.id ? upload.variables : undefined;
  const done = current && isFinal(current.state) ? current : undefined;
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
          {upload.isPending ? (
            <Sending file={upload.variables.file} share={share} onStop={() => stop.current?.abort()} />
          ) : running ? (
            <Running key={running.id} row={running} />
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
            accept=".jsonl,.ndjson,.json,.gz,.csv,.parquet,.zip"
            onChange={(event) => {
              take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        {look.isError && <ProblemNotice error={look.error} />}
        {look.isSuccess && (!done || done.dry_run) && (
          <ImportSetup
            key={look.submittedAt}
            preview={look.data}
            options={look.variables.options}
            busy={busy}
            onApply={(options) => {
              upload.reset();
              clear();
              look.mutate({ file: look.variables.file, options });
            }}
          />
        )}
        {upload.isError &&
          (wasStopped(upload.error) ? (
            <Notice tone="info" title={texts.uploadStopped} />
          ) : (
            <ProblemNotice error={upload.error} />
          ))}
        {error && <ProblemNotice error={error} />}
        {done && (
          <Outcome
            slug={slug}
            row={done}
            onImport={chosen?.dryRun ? () => send(chosen.file, chosen.options, false) : undefined}
          />
        )}
        <HubForm
          slug={slug}
          busy={busy}
          onQueued={(queued) => {
            look.reset();
            upload.reset();
            follow(queued);
          }}
        />
        <Known />
      </div>
    </Panel>
  );
}
