import { queryOptions } from "@tanstack/react-query";
import { api, unwrap, unwrapResponse } from "@/api/client";
import type { Answer, Assignment, SkipWay, TaskProblemKind } from "@/api/types";
import { type Draft, EMPTY_FIELDS } from "@/ranking/answer/answer";

/**
 * Number of tasks leased in addition to the current task. With a task leased in advance, the next task
 * appears as soon as an answer is submitted.
 */
const AHEAD = 1;
/**
 * The time limit for a submission. Without a limit, a request on a dead connection would block all later
 * answers.
 */
const SEND_MS = 30_000;

/**
 * The user's leases. The first lease belongs to the task to work on. The list is empty if there is nothing to
 * rank. Claiming is idempotent: a claim renews existing leases and adds only missing leases.
 */
export const leasesQuery = (slug: string) =>
  queryOptions({
    queryKey: ["desk", slug],
    queryFn: () => claim(slug),
    staleTime: Number.POSITIVE_INFINITY,
    // A reopened desk claims tasks again, because its leases may have expired.
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: true,
  });

async function claim(slug: string): Promise<readonly Assignment[]> {
  const { data, status } = await unwrapResponse(
    api.POST("/api/v1/projects/{slug}/assignments/next", {
      params: { path: { slug } },
      body: { prefetch: AHEAD },
    }),
  );
  if (status === 204 || !data) return [];
  const { prefetched, ...first } = data;
  return [first, ...prefetched];
}

export async function saveDraft(id: string, token: string, version: number, draft: Draft): Promise<number> {
  const saved = await unwrap(
    api.PUT("/api/v1/assignments/{id}/draft", {
      params: { path: { id } },
      body: { token, version, draft: { ...draft } },
    }),
  );
  return saved.version;
}

export async function renewLease(id: string, token: string): Promise<string> {
  const lease = await unwrap(
    api.POST("/api/v1/assignments/{id}/heartbeat", { params: { path: { id } }, body: { token } }),
  );
  return lease.expires_at;
}

/**
 * Releases a lease. The request is sent even if the page closes immediately. For an expired lease, the
 * request has no effect.
 */
export function giveBack(id: string, token: string): void {
  api
    .POST("/api/v1/assignments/{id}/release", {
      params: { path: { id } },
      body: { token },
      keepalive: true,
    })
    // If the request does not arrive, the lease expires automatically.
    .catch(() => undefined);
}

/** Submits an answer. Repeating the request with the same key returns the existing ranking. */
export async function submitAnswer(id: string, idempotencyKey: string, answer: Answer): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/submit", {
      params: { path: { id }, header: { "Idempotency-Key": idempotencyKey } },
      body: answer,
      signal: AbortSignal.timeout(SEND_MS),
    }),
  );
}

/** Replaces a submitted answer. Idempotent: repeating the request changes nothing. */
export async function reviseAnswer(id: string, { token: _, ...answer }: Answer): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/revise", {
      params: { path: { id } },
      body: answer,
      signal: AbortSignal.timeout(SEND_MS),
    }),
  );
}

export async function skipTask(id: string, token: string, reason: string, way: SkipWay): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/skip", { params: { path: { id } }, body: { token, reason, way } }),
  );
}

/** The annotator's last answer, if it can still be revised, in the format that the desk needs; otherwise null. */
export async function fetchLastAnswer(
  slug: string,
): Promise<{ assignment: Assignment; answer: Draft } | null> {
  const { data, status } = await unwrapResponse(
    api.GET("/api/v1/projects/{slug}/assignments/last", { params: { path: { slug } } }),
  );
  if (status === 204 || !data) return null;
  const { id, task, responses, form, answer } = data;
  // A submitted answer no longer has a lease, so the lease fields stay empty.
  const lease = { token: "", expires_at: "", draft: null, draft_version: 0, practice: false };
  const whole = { tiers: [], ...EMPTY_FIELDS, touched: true, duration_ms: null, ...answer };
  return { assignment: { id, task, responses, form, ...lease }, answer: whole };
}

export const figuresQuery = (slug: string) =>
  queryOptions({
    queryKey: ["desk", slug, "figures"],
    queryFn: () =>
      unwrap(api.GET("/api/v1/projects/{slug}/assignments/mine", { params: { path: { slug } } })),
  });

export const feedbackQuery = (id: string) =>
  queryOptions({
    queryKey: ["feedback", id],
    queryFn: () => unwrap(api.GET("/api/v1/assignments/{id}/feedback", { params: { path: { id } } })),
    staleTime: Number.POSITIVE_INFINITY,
  });

export async function reportProblem(id: string, kind: TaskProblemKind, text: string): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/problems", { params: { path: { id } }, body: { kind, text } }),
  );
}
