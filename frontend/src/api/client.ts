import createClient from "openapi-fetch";
import { problemFrom, unreachable } from "./problem";
import type { paths } from "./schema";

const UNSAFE_METHODS = new Set(["POST", "PUT", "PATCH", "DELETE"]);

const CSRF_COOKIE = /(?:^|; )csrftoken=([^;]+)/;

let csrfToken = "";
let sessionEnded: () => void = () => undefined;

/**
 * Stores the CSRF token from `auth/me`, for browsers in which the cookie can't be read. Django requires the token
 * on every unsafe request, including the login.
 */
export function rememberCsrfToken(token: string): void {
  csrfToken = token;
}

/**
 * The newest CSRF token. The cookie takes precedence, because the user may have logged in again in another tab.
 * Exported for file uploads, which do not use `api`.
 */
export function rememberedCsrfToken(): string {
  return CSRF_COOKIE.exec(document.cookie)?.[1] ?? csrfToken;
}

/**
 * Sets the function to call when a request returns 401. The exceptions are `auth/login` and `auth/me`, where 401
 * does not mean that a session has ended.
 */
export function onSessionEnded(listener: () => void): void {
  sessionEnded = listener;
}

// `fetch` is looked up on each call, so that tests and browser extensions can replace it.
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

/** Returns the response body. Throws an ApiProblem, or an AbortError if the request was aborted. */
export async function unwrap<T>(call: Promise<FetchResult<T>>): Promise<T> {
  const { data } = await unwrapResponse(call);
  return data as T;
}

/** Like `unwrap`, but also returns the status, for callers that distinguish 200, 201 and 204. */
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
