import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { cursorOf } from "@/shared/paging";

const PAGE_SIZE = 10;

/** What annotators reported of a project's tasks, newest first. */
export const problemsQuery = (slug: string) =>
  infiniteQueryOptions({
    queryKey: ["problems", slug],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/problems/", {
          params: {
            path: { slug },
            query: { page_size: PAGE_SIZE, ...(pageParam && { cursor: pageParam }) },
          },
        }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
  });
