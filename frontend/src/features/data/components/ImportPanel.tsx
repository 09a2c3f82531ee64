import { Button } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type DragEvent, useEffect, useRef, useState } from "react";
import type { Import, ImportPreview } from "@/api/types";
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
type Look = { file: File; options: ImportOptions; signal: AbortSignal };
/** A file whose beginning has been read. Each chosen file has its own `key`. */
type Looked = { key: number; file: File; preview: ImportPreview; options: ImportOptions };

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

/**
 * Moves the focus to the results after an operation if the button that had the focus was removed in the
 * meantime.
 */
function useFocusWhenDone(busy: boolean) {
  const results = useRef<HTMLDivElement>(null);
  const wasBusy = useRef(false);
  useEffect(() => {
    const lost = document.activeElement === null || document.activeElement === document.body;
    if (wasBusy.current && !busy && lost) results.current?.focus({ preventScroll: true });
    wasBusy.current = busy;
  }, [busy]);
  return results;
}

export function ImportPanel({ slug }: { slug: string }) {
  const { import: texts } = useTexts();
  const input = useRef<HTMLInputElement>(null);
  const stop = useRef<AbortController | null>(null);
  const [over, setOver] = useState(false);
  const [share, setShare] = useState(0);
  const [looked, setLooked] = useState<Looked | null>(null);
  const [edited, setEdited] = useState(false);
  const { current, error, follow, clear } = useCurrentImport(slug);
  const upload = useMutation({
    mutationFn: ({ file, options, dryRun, signal }: Upload) =>
      uploadFile(slug, file, { dryRun, options, signal, onShare: setShare }),
    onSuccess: follow,
  });
  // If the preview reports no problem, all rows are checked immediately. Otherwise, the user first chooses the
  // columns.
  const look = useMutation({
    mutationFn: ({ file, options, signal }: Look) =>
      previewFile(slug, file, options, { signal, onShare: setShare }),
    onSuccess: (preview, { file, options }) => {
      setLooked((last) => ({
        key: last?.file === file ? last.key : (last?.key ?? 0) + 1,
        file,
        preview,
        options,
      }));
      setEdited(false);
      const { problem, remembered, mapping } = preview;
      if (problem === "") send(file, remembered ? { ...options, mapping } : options, true);
    },
  });
  const running = current && !isFinal(current.state) ? current : undefined;
  const busy = upload.isPending || look.isPending || running !== undefined;
  const results = useFocusWhenDone(busy);

  function send(file: File, options: ImportOptions, dryRun: boolean) {
    stop.current = new AbortController();
    clear();
    upload.mutate({ file, options, dryRun, signal: stop.current.signal });
  }

  function preview(file: File, options: ImportOptions) {
    stop.current = new AbortController();
    upload.reset();
    clear();
    look.mutate({ file, options, signal: stop.current.signal });
  }

  function take(file: File | undefined) {
    if (file && !busy) preview(file, defaultOptions);
  }

  function onDrop(event: DragEvent) {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  }

  // The file of the shown import, if it was chosen on this page.
  const chosen = upload.data && upload.data.id === current?.id ? upload.variables : undefined;
  const done = current && isFinal(current.state) ? current : undefined;
  const abort = () => stop.current?.abort();
  const failed = look.error ?? upload.error;
  // While another file is being read, and if it can't be read, the settings of the previous file are hidden.
  const shown = looked && (look.variables === undefined || look.variables.file === looked.file);
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
          {look.isPending ? (
            <Sending says={texts.looking(look.variables.file.name)} share={share} onStop={abort} />
          ) : upload.isPending ? (
            <Sending
              says={texts.sending(upload.variables.file.name, upload.variables.file.size)}
              share={share}
              onStop={abort}
            />
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
            accept=".jsonl,.ndjson,.json,.gz,.csv,.tsv,.txt,.parquet,.zip"
            onChange={(event) => {
              take(event.currentTarget.files?.[0]);
              event.currentTarget.value = "";
            }}
          />
        </div>
        <div ref={results} tabIndex={-1} className={styles.results} data-testid="import-results">
          {shown && (!done || done.dry_run) && (
            <ImportSetup
              key={looked.key}
              file={looked.file.name}
              preview={looked.preview}
              options={looked.options}
              busy={busy}
              onEdit={() => setEdited(true)}
              onApply={(options) => preview(looked.file, options)}
            />
          )}
          {failed &&
            (wasStopped(failed) ? (
              <Notice tone="info" title={texts.uploadStopped} />
            ) : (
              <ProblemNotice error={failed} />
            ))}
          {error && <ProblemNotice error={error} />}
          {done && (
            <Outcome
              slug={slug}
              row={done}
              edited={edited}
              onImport={chosen?.dryRun ? () => send(chosen.file, chosen.options, false) : undefined}
            />
          )}
        </div>
        <HubForm
          slug={slug}
          busy={busy}
          onQueued={(queued) => {
            setLooked(null);
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
