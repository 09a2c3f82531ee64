/** An API error response (RFC 9457) or a network failure, as a single error type that pages can show. */

import { problemTexts } from "./problem.texts";

export type FieldError = { field: string; reason: string };

/** The status of a failure without an HTTP response: the network is down or the server is not listening. */
const NO_ANSWER = 0;

export class ApiProblem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;
  readonly errors: FieldError[];
  /**
   * The name of the problem type (`stale-draft`, `lease-lost`), for pages that handle specific problem types.
   */
  readonly type: string;

  constructor(status: number, title: string, detail = "", errors: FieldError[] = [], type = "about:blank") {
    super(detail || title);
    this.name = "ApiProblem";
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
    this.type = type;
  }

  get unreachable(): boolean {
    return this.status === NO_ANSWER;
  }

  /**
   * Whether repeating the unchanged request could succeed: the server did not respond, refused the request
   * because of a rate limit (429), or returned a server error.
   */
  get transient(): boolean {
    return this.unreachable || this.status === 429 || this.status >= 500;
  }

  /** Reasons by field name; several reasons for one field are joined. */
  byField(): Record<string, string> {
    const fields: Record<string, string> = {};
    for (const { field, reason } of this.errors) {
      fields[field] = fields[field] ? `${fields[field]} ${reason}` : reason;
    }
    return fields;
  }
}

export function unreachable(): ApiProblem {
  const texts = problemTexts();
  return new ApiProblem(NO_ANSWER, texts.unreachable, texts.unreachableThen);
}

/**
 * Reads the body of an error response. The API's `title` is only the HTTP reason phrase, so the frontend uses
 * its own title. `detail` comes from the server or, for some problem types, from the frontend's texts. If the
 * body is empty or is an HTML page from a proxy, the message consists only of the frontend's own title.
 */
export function problemFrom(status: number, body: unknown): ApiProblem {
  const texts = problemTexts();
  const title = texts.byStatus[status] ?? (status >= 500 ? texts.failed : texts.refused);
  if (typeof body !== "object" || body === null) return new ApiProblem(status, title);
  const { detail, errors, type, request_id: requestId } = body as Record<string, unknown>;
  const fields = Array.isArray(errors)
    ? errors.filter(
        (entry): entry is FieldError => typeof entry?.field === "string" && typeof entry?.reason === "string",
      )
    : [];
  const text = (value: unknown, otherwise: string) => (typeof value === "string" ? value : otherwise);
  const name = text(type, "about:blank");
  const why = Object.hasOwn(texts.byType, name) ? texts.byType[name] : text(detail, "");
  // With this ID, an administrator can find the cause of a server error in the log.
  const id = status >= 500 && typeof requestId === "string" ? texts.requestId(requestId) : "";
  return new ApiProblem(status, title, [why, id].filter(Boolean).join(" "), fields, name);
}

export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  return new ApiProblem(500, problemTexts().ours, error instanceof Error ? error.message : String(error));
}
