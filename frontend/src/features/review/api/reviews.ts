import { queryOptions } from "@tanstack/react-query";
import { api, unwrap, unwrapResponse } from "@/api/client";
import type { Answer, ReviewQueue, ReviewShown } from "@/api/types";

export const reviewsQuery = (slug: string) =>
  queryOptions({
    queryKey: ["reviews", slug],
    queryFn: (): Promise<ReviewQueue> =>
      unwrap(api.GET("/api/v1/projects/{slug}/reviews/", { params: { path: { slug } } })),
  });

/**
 * Claims the task with the lowest agreement among the tasks that no reviewer has open. Returns null if there
 * is no such task. Idempotent.
 */
export async function openNextReview(slug: string): Promise<ReviewShown | null> {
  const { data, status } = await unwrapResponse(
    api.POST("/api/v1/projects/{slug}/reviews/next", { params: { path: { slug } } }),
  );
  return status === 204 ? null : (data ?? null);
}

export function openReview(task: string): Promise<ReviewShown> {
  return unwrap(api.POST("/api/v1/reviews/{id}/open", { params: { path: { id: task } } }));
}

export async function renewReview(task: string, token: string): Promise<string> {
  const lease = await unwrap(
    api.POST("/api/v1/reviews/{id}/heartbeat", { params: { path: { id: task } }, body: { token } }),
  );
  return lease.expires_at;
}

export async function releaseReview(task: string, token: string): Promise<void> {
  await unwrap(api.POST("/api/v1/reviews/{id}/release", { params: { path: { id: task } }, body: { token } }));
}

/** Idempotent: repeating the same decision returns the existing decision. */
export async function decideReview(task: string, answer: Answer): Promise<void> {
  await unwrap(api.POST("/api/v1/reviews/{id}/decide", { params: { path: { id: task } }, body: answer }));
}
