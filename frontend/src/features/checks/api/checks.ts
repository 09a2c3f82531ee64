import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { CheckKind, TaskDetail } from "@/api/types";
import { cursorOf } from "@/shared/paging";

export const checksQuery = (slug: string, kind: CheckKind | null) =>
  infiniteQueryOptions({
    queryKey: ["checks", slug, "list", kind],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/checks/", {
          params: {
            path: { slug },
            query: { ...(kind && { kind }), ...(pageParam && { cursor: pageParam }) },
          },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
  });

export const taskQuery = (slug: string, id: string) =>
  queryOptions({
    // The task page uses the same cache key, so that the task page and the checks page show the same data.
    queryKey: ["tasks", slug, "one", id],
    queryFn: (): Promise<TaskDetail> =>
      unwrap(api.GET("/api/v1/projects/{slug}/tasks/{id}/", { params: { path: { slug, id } } })),
  });

export async function setKind(
  slug: string,
  id: string,
  kind: TaskDetail["kind"],
  gold_tiers?: readonly (readonly string[])[],
): Promise<TaskDetail> {
  const body = { kind, ...(gold_tiers && { gold_tiers: gold_tiers.map((tier) => [...tier]) }) };
  return unwrap(api.PATCH("/api/v1/projects/{slug}/tasks/{id}/", { params: { path: { slug, id } }, body }));
}
