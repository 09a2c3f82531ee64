import { rememberedCsrfToken } from "@/api/client";
import { problemFrom, unreachable } from "@/api/problem";
import type { ImportReport } from "@/api/types";

export type Phase = { at: "sending"; share: number } | { at: "reading" };

/**
 * Sends a file and waits for the report. XMLHttpRequest, because `fetch` doesn't say how much of a body has gone out. Once all
 * of it has, the server takes the rows in before it answers.
 */
export function importFile(
  slug: string,
  file: File,
  { dryRun, onPhase, signal }: { dryRun: boolean; onPhase: (phase: Phase) => void; signal?: AbortSignal },
): Promise<ImportReport> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `/api/v1/projects/${encodeURIComponent(slug)}/imports/`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("X-CSRFToken", rememberedCsrfToken());
    request.upload.onprogress = ({ loaded, total }) =>
      onPhase({ at: "sending", share: total > 0 ? loaded / total : 0 });
    request.upload.onload = () => onPhase({ at: "reading" });
    request.onerror = () => reject(unreachable());
    request.onabort = () => reject(new DOMException("The upload was stopped.", "AbortError"));
    request.onload = () => {
      const body = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && body !== null) resolve(body as ImportReport);
      else reject(problemFrom(request.status, body));
    };
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    const form = new FormData();
    form.set("file", file, file.name);
    form.set("dry_run", String(dryRun));
    onPhase({ at: "sending", share: 0 });
    request.send(form);
  });
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
