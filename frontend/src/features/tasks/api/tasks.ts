import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import { cursorOf } from "@/shared/paging";
import { rankingsParams, type TasksSearch, tasksParams } from "../search";

/** Number of rows per request. One page of rows fills about ten screens and is about 40 kB of data. */
const PAGE_SIZE = 200;

/**
 * Loaded pages are neither compared with their previous versions nor refetched automatically. Comparing a
 * hundred thousand rows would block the page, and so would refetching five hundred pages when the window
 * receives the focus. The "Refresh" button drops all cached pages.
 */
const KEPT = {
  initialPageParam: undefined as string | undefined,
  structuralSharing: false,
  staleTime: Number.POSITIVE_INFINITY,
  gcTime: 60_000,
} as const;

export const tasksQuery = (slug: string, search: TasksSearch) =>
  infiniteQueryOptions({
    ...KEPT,
    queryKey: ["tasks", slug, tasksParams(search)],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/tasks/", {
          params: {
            path: { slug },
            query: { ...tasksParams(search), page_size: PAGE_SIZE, ...(pageParam && { cursor: pageParam }) },
          },
          signal,
        }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
  });

export const rankingsQuery = (slug: string, search: TasksSearch) =>
  infiniteQueryOptions({
    ...KEPT,
    queryKey: ["rankings", slug, rankingsParams(search)],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/rankings/", {
          params: {
            path: { slug },
            query: {
              ...rankingsParams(search),
              page_size: PAGE_SIZE,
              ...(pageParam && { cursor: pageParam }),
            },
          },
          signal,
        }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
  });

export const taskQuery = (slug: string, id: string) =>
  queryOptions({
    queryKey: ["tasks", slug, "one", id],
    queryFn: () => unwrap(api.GET("/api/v1/projects/{slug}/tasks/{id}/", { params: { path: { slug, id } } })),
  });

export const taskRankingsQuery = (slug: string, id: string) =>
  infiniteQueryOptions({
    queryKey: ["rankings", slug, "of", id],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/tasks/{id}/rankings/", {
          params: { path: { slug, id }, query: { ...(pageParam && { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
  });
