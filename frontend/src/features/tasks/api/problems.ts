import { infiniteQueryOptions, type QueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { TaskDetail, TaskProblem } from "@/api/types";
import { cursorOf } from "@/shared/paging";
import { projectQuery } from "@/shared/session";

const PAGE_SIZE = 10;

/**
 * Problems reported with the tasks of a project, or with one task. Open problems come first, and each group is sorted
 * newest first.
 */
export const problemsQuery = (slug: string, task?: string) =>
  infiniteQueryOptions({
    queryKey: ["problems", slug, task ?? "all"],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/problems/", {
          params: {
            path: { slug },
            query: {
              page_size: PAGE_SIZE,
              ...(task && { task }),
              ...(pageParam && { cursor: pageParam }),
            },
          },
        }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
  });

/** Resolves a report. The request contains its text, so that a report that has changed is not resolved unread. */
export const settleProblem = ({ id, text }: TaskProblem, note: string) =>
  unwrap(api.POST("/api/v1/problems/{id}/settle", { params: { path: { id } }, body: { note, text } }));

export const reopenProblem = ({ id }: TaskProblem) =>
  unwrap(api.POST("/api/v1/problems/{id}/reopen", { params: { path: { id } } }));

/** Sets whether the task can be assigned from now on. */
export const askTask = (slug: string, id: string, asked: boolean): Promise<TaskDetail> =>
  unwrap(
    api.PATCH("/api/v1/projects/{slug}/tasks/{id}/", {
      params: { path: { slug, id } },
      body: { state: asked ? "open" : "dropped" },
    }),
  );

/** Refetches data after either change, because the reports and their number are shown in several places. */
export async function refreshProblems(queryClient: QueryClient, slug: string): Promise<void> {
  // Task lists can be long, so they are fetched when they are shown again instead of refetching all their pages now.
  queryClient.removeQueries({ queryKey: ["tasks", slug], type: "inactive" });
  await Promise.all(
    [["problems", slug], ["tasks", slug, "one"], projectQuery(slug).queryKey].map((queryKey) =>
      queryClient.invalidateQueries({ queryKey }),
    ),
  );
}
