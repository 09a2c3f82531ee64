import { rememberedCsrfToken } from "@/api/client";
import { problemFrom, unreachable } from "@/api/problem";
import type { ImportNews, ImportPreview, ImportReport } from "@/api/types";

type Progress = ImportNews["progress"];
/** The columns of a table by their use: `prompt`, `responses`, `vote`, … Columns that are missing are inferred. */
export type Mapping = Record<string, string>;

export type ImportOptions = {
  mapping: Mapping;
  votes: "close" | "keep" | "ignore";
  overlap: number | null;
  round: number;
  priority: number;
};

export const defaultOptions: ImportOptions = {
  mapping: {},
  votes: "close",
  overlap: null,
  round: 0,
  priority: 0,
};

// The server reads only the first rows for a preview. Files of these kinds can't be read from their beginning.
const WHOLE = /\.(parquet|zip|gz)$/i;
const PREVIEW_BYTES = 4 * 1024 * 1024;

/** Uploads the beginning of a file and returns its format, columns and first tasks. Nothing is stored. */
export async function previewFile(slug: string, file: File, mapping: Mapping): Promise<ImportPreview> {
  const form = new FormData();
  form.set("file", WHOLE.test(file.name) ? file : file.slice(0, PREVIEW_BYTES), file.name);
  if (Object.keys(mapping).length > 0) form.set("mapping", JSON.stringify(mapping));
  const response = await fetch(`/api/v1/projects/${encodeURIComponent(slug)}/imports/preview`, {
    method: "POST",
    headers: { "X-CSRFToken": rememberedCsrfToken() },
    body: form,
  }).catch(() => {
    throw unreachable();
  });
  const body = parsed(await response.text());
  if (!response.ok) throw problemFrom(response.status, body);
  return body as ImportPreview;
}

export type Phase = { at: "sending"; share: number } | { at: "reading"; share: number; rows: number };

/**
 * Uploads a file and waits for the import report. Uses XMLHttpRequest, because `fetch` does not report upload
 * progress. After the upload, the server reports its own progress line by line. If the request is aborted, the import
 * stops after the current batch.
 */
export function importFile(
  slug: string,
  file: File,
  {
    dryRun,
    options = defaultOptions,
    onPhase,
    signal,
  }: {
    dryRun: boolean;
    options?: ImportOptions;
    onPhase: (phase: Phase) => void;
    signal?: AbortSignal;
  },
): Promise<ImportReport> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/projects/${encodeURIComponent(slug)}/imports/`);
    request.setRequestHeader("Accept", "application/x-ndjson");
    request.setRequestHeader("X-CSRFToken", rememberedCsrfToken());
    request.upload.onprogress = ({ loaded, total }) =>
      onPhase({ at: "sending", share: total > 0 ? loaded / total : 0 });
    request.upload.onload = () => onPhase(reading({ share: 0, read: 0, failed: 0 }));
    request.onprogress = () => {
      const { progress } = lastLine(request.responseText);
      if (progress) onPhase(reading(progress));
    };
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    request.onload = () => {
      if (request.status !== 200) reject(problemFrom(request.status, parsed(request.responseText)));
      const { report, problem } = lastLine(request.responseText);
      if (report) resolve(report);
      else reject(problem ? problemFrom(Number(problem.status), problem) : unreachable());
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    form.set("file", file, file.name);
    form.set("dry_run", String(dryRun));
    form.set("votes", options.votes);
    form.set("round", String(options.round));
    form.set("priority", String(options.priority));
    if (options.overlap !== null) form.set("overlap", String(options.overlap));
    if (Object.keys(options.mapping).length > 0) form.set("mapping", JSON.stringify(options.mapping));
    onPhase({ at: "sending", share: 0 });
    request.send(form);
  });
}

const reading = ({ share, read }: NonNullable<Progress>): Phase => ({ at: "reading", share, rows: read });

/**
 * The last complete line of the response. Undefined if no line is complete, for example because the response
 * was truncated.
 */
export function lastLine(text: string): ImportNews {
  const end = text.lastIndexOf("\n");
  const news = end < 0 ? null : parsed(text.slice(text.lastIndexOf("\n", end - 1) + 1, end));
  return typeof news === "object" && news !== null ? news : {};
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export const wasStopped = (error: unknown): boolean =>
  error instanceof DOMException && error.name === "AbortError";
