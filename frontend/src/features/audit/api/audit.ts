import { infiniteQueryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { cursorOf } from "@/shared/paging";
import { type Filter, toQuery } from "../entry";

const PAGE = 50;

export const auditQuery = (slug: string, filter: Filter) =>
  infiniteQueryOptions({
    queryKey: ["audit", slug, filter],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/audit/", {
          params: {
            path: { slug },
            query: { ...toQuery(filter), page_size: PAGE, ...(pageParam && { cursor: pageParam }) },
          },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
  });
