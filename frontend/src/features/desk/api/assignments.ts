import { queryOptions } from "@tanstack/react-query";
import { api, unwrap, unwrapResponse } from "@/api/client";
import type { Answer, Assignment, SkipWay } from "@/api/types";
import type { Draft } from "../answer";

/**
 * The task on this annotator's desk, or null when there is none. Claiming is safe to repeat: an annotator holds one open
 * lease per project, and asking again brings that one back with its draft.
 */
export const assignmentQuery = (slug: string) =>
  queryOptions({
    queryKey: ["desk", slug],
    queryFn: () => claimNext(slug),
    staleTime: Number.POSITIVE_INFINITY,
    // A desk left and re-entered asks anew: the lease may have run out meanwhile.
    gcTime: 0,
    refetchOnWindowFocus: false,
    refetchOnReconnect: false,
  });

export async function claimNext(slug: string): Promise<Assignment | null> {
  const { data, status } = await unwrapResponse(
    api.POST("/api/v1/projects/{slug}/assignments/next", { params: { path: { slug } } }),
  );
  return status === 204 ? null : (data ?? null);
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

/** Safe to repeat with the same key: the second time the server answers with the ranking it already has. */
export async function submitAnswer(id: string, idempotencyKey: string, answer: Answer): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/submit", {
      params: { path: { id }, header: { "Idempotency-Key": idempotencyKey } },
      body: answer,
    }),
  );
}

export async function skipTask(id: string, token: string, reason: string, way: SkipWay): Promise<void> {
  await unwrap(
    api.POST("/api/v1/assignments/{id}/skip", { params: { path: { id } }, body: { token, reason, way } }),
  );
}
