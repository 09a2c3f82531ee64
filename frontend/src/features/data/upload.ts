import { rememberedCsrfToken } from "@/api/client";
import { problemFrom, unreachable } from "@/api/problem";
import type { Import, ImportPreview } from "@/api/types";

/** Maps roles (`prompt`, `responses`, `vote`, …) to columns of a table. Missing roles are inferred. */
export type Mapping = Record<string, string>;

export type ImportOptions = {
  mapping: Mapping;
  votes: "close" | "keep" | "ignore";
  overlap: number | null;
  responsesPerTask: number | null;
  round: number;
  priority: number;
};

export const defaultOptions: ImportOptions = {
  mapping: {},
  votes: "close",
  overlap: null,
  responsesPerTask: null,
  round: 0,
  priority: 0,
};

// A preview needs only the first rows, but files of these types can be read only as a whole.
const WHOLE = /\.(parquet|zip|gz)$/i;
const PREVIEW_BYTES = 4 * 1024 * 1024;

type Sent = { onShare: (share: number) => void; signal?: AbortSignal };

/** Uploads the beginning of a file and returns its format, columns and first tasks. Nothing is stored. */
export function previewFile(
  slug: string,
  file: File,
  { mapping, votes, responsesPerTask }: ImportOptions,
  sent: Sent,
): Promise<ImportPreview> {
  const form = new FormData();
  form.set("file", WHOLE.test(file.name) ? file : file.slice(0, PREVIEW_BYTES), file.name);
  form.set("votes", votes);
  if (responsesPerTask !== null) form.set("responses_per_task", String(responsesPerTask));
  if (Object.keys(mapping).length > 0) form.set("mapping", JSON.stringify(mapping));
  return send(`/api/v1/projects/${encodeURIComponent(slug)}/imports/preview`, form, 200, sent);
}

/** Uploads a file and returns the queued import. */
export function uploadFile(
  slug: string,
  file: File,
  { dryRun, options = defaultOptions, ...sent }: Sent & { dryRun: boolean; options?: ImportOptions },
): Promise<Import> {
  const form = new FormData();
  form.set("file", file, file.name);
  for (const [name, value] of Object.entries(bodyOf(options, dryRun))) {
    form.set(name, typeof value === "string" ? value : JSON.stringify(value));
  }
  return send(`/api/v1/projects/${encodeURIComponent(slug)}/imports/`, form, 202, sent);
}

/** Posts a form. Uses XMLHttpRequest, because `fetch` does not report upload progress. */
function send<Body>(
  path: string,
  form: FormData,
  expected: number,
  { onShare, signal }: Sent,
): Promise<Body> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("X-CSRFToken", rememberedCsrfToken());
    request.upload.onprogress = ({ loaded, total }) => onShare(total > 0 ? loaded / total : 0);
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status === expected) resolve(body as Body);
      else reject(problemFrom(request.status, body));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    onShare(0);
    request.send(form);
  });
}

/** The fields of the request. `overlap`, `responses_per_task` and `mapping` are left out if they are not set. */
export function bodyOf(options: ImportOptions, dryRun: boolean) {
  const { mapping, votes, overlap, responsesPerTask, round, priority } = options;
  return {
    dry_run: dryRun,
    votes,
    round,
    priority,
    ...(overlap === null ? {} : { overlap }),
    ...(responsesPerTask === null ? {} : { responses_per_task: responsesPerTask }),
    ...(Object.keys(mapping).length > 0 ? { mapping } : {}),
  };
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
