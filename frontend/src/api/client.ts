import createClient from "openapi-fetch";
import { problemFrom, unreachable } from "./problem";
import type { paths } from "./schema";

const UNSAFE_METHODS = new Set(["POST", "PUT", "PATCH", "DELETE"]);

let csrfToken = "";
let sessionEnded: () => void = () => undefined;

/** The token arrives with `auth/me` and the log-in answer; Django wants it back on every unsafe request. */
export function rememberCsrfToken(token: string): void {
  csrfToken = token;
}

/** Called when a request other than the log-in's own is answered 401. */
export function onSessionEnded(listener: () => void): void {
  sessionEnded = listener;
}

// `fetch` is looked up per call so that tests and the browser's own patches are seen.
export const api = createClient<paths>({ credentials: "same-origin", fetch: (request) => globalThis.fetch(request) });

api.use({
  onRequest({ request }) {
    if (UNSAFE_METHODS.has(request.method) && csrfToken) request.headers.set("X-CSRFToken", csrfToken);
    request.headers.set("Accept", "application/json");
    return request;
  },
});

type FetchResult<T> = { data?: T; error?: unknown; response: Response };

/** The answer's body, or a thrown ApiProblem: the one way pages read what the client brought back. */
export async function unwrap<T>(call: Promise<FetchResult<T>>): Promise<T> {
  const { data } = await unwrapResponse(call);
  return data as T;
}

/** As `unwrap`, with the response beside the body, for calls whose status carries meaning (201 or 200, 204). */
export async function unwrapResponse<T>(call: Promise<FetchResult<T>>): Promise<{ data: T | undefined; status: number }> {
  let result: FetchResult<T>;
  try {
    result = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw unreachable();
  }
  if (!result.response.ok) {
    const asksWhoIAm = /\/auth\/(me|login)$/.test(new URL(result.response.url || "http://page/").pathname);
    if (result.response.status === 401 && !asksWhoIAm) sessionEnded();
    throw problemFrom(result.response.status, result.error);
  }
  return { data: result.data, status: result.response.status };
}
