import createClient from "openapi-fetch";
import { problemFrom, unreachable } from "./problem";
import type { paths } from "./schema";

const UNSAFE_METHODS = new Set(["POST", "PUT", "PATCH", "DELETE"]);

const CSRF_COOKIE = /(?:^|; )csrftoken=([^;]+)/;

let csrfToken = "";
let sessionEnded: () => void = () => undefined;

/**
 * Django wants its token back on every unsafe request, the log-in included. The cookie is the newest one (another tab may have
 * logged in since); what `auth/me` answered serves where the cookie can't be read.
 */
export function rememberCsrfToken(token: string): void {
  csrfToken = token;
}

/** The newest there is, for the one request that `fetch` can't make. */
export function rememberedCsrfToken(): string {
  return CSRF_COOKIE.exec(document.cookie)?.[1] ?? csrfToken;
}

/** Called when a request other than the log-in's own is answered 401. */
export function onSessionEnded(listener: () => void): void {
  sessionEnded = listener;
}

// `fetch` is looked up per call so that tests and the browser's own patches are seen.
export const api = createClient<paths>({
  baseUrl: window.location.origin,
  credentials: "same-origin",
  fetch: (request) => globalThis.fetch(request),
});

api.use({
  onRequest({ request }) {
    const token = rememberedCsrfToken();
    if (UNSAFE_METHODS.has(request.method) && token) request.headers.set("X-CSRFToken", token);
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
export async function unwrapResponse<T>(
  call: Promise<FetchResult<T>>,
): Promise<{ data: T | undefined; status: number }> {
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
