import { infiniteQueryOptions, type QueryClient } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { TaskDetail, TaskProblem } from "@/api/types";
import { cursorOf } from "@/shared/paging";
import { projectQuery } from "@/shared/session";

const PAGE_SIZE = 10;

/**
 * The problems reported in a whole project, or only those of one task. Open problems come first, then
 * resolved problems; in each group, the newest come first.
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

/**
 * Resolves a report. The request contains the report's text as shown. If the text has been edited in the
 * meantime, the server refuses the request, because the user has not read the current text.
 */
export const settleProblem = ({ id, text }: TaskProblem, note: string) =>
  unwrap(api.POST("/api/v1/problems/{id}/settle", { params: { path: { id } }, body: { note, text } }));

export const reopenProblem = ({ id }: TaskProblem) =>
  unwrap(api.POST("/api/v1/problems/{id}/reopen", { params: { path: { id } } }));

/** Closes a task, or reopens it so that it can be assigned again. */
export const askTask = (slug: string, id: string, asked: boolean): Promise<TaskDetail> =>
  unwrap(
    api.PATCH("/api/v1/projects/{slug}/tasks/{id}/", {
      params: { path: { slug, id } },
      body: { state: asked ? "open" : "dropped" },
    }),
  );

/**
 * Refetches data after a report or a task has changed. The reports and their number are shown in several
 * places.
 */
export async function refreshProblems(queryClient: QueryClient, slug: string): Promise<void> {
  // Task lists can be long, so their pages are not refetched now. A list is fetched when it is
  // shown again.
  queryClient.removeQueries({ queryKey: ["tasks", slug], type: "inactive" });
  await Promise.all(
    [["problems", slug], ["tasks", slug, "one"], projectQuery(slug).queryKey].map((queryKey) =>
      queryClient.invalidateQueries({ queryKey }),
    ),
  );
}
