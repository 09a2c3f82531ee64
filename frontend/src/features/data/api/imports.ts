import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Import, ImportPage, ImportSummary } from "@/api/types";
import { isFinal } from "@/shared/jobs";
import { cursorOf } from "@/shared/paging";
import { bodyOf, type ImportOptions } from "../upload";

const POLL_MS = 1_000;
const PAGE = 20;

/** The project's imports, newest first. Refetched every few seconds while an import is unfinished. */
export const importsQuery = (slug: string) =>
  infiniteQueryOptions({
    queryKey: ["imports", slug],
    queryFn: async ({ pageParam }): Promise<ImportPage> =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/imports/", {
          params: { path: { slug }, query: { page_size: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: ({ next }) => cursorOf(next),
    select: ({ pages }): ImportSummary[] => pages.flatMap(({ results }) => results),
    refetchInterval: ({ state }) =>
      state.data?.pages.some(({ results }) => results.some((row) => !isFinal(row.state)))
        ? 5 * POLL_MS
        : false,
  });

/** An import, refetched every second until it has ended. */
export const importQuery = (id: string) =>
  queryOptions({
    queryKey: ["import", id],
    queryFn: async (): Promise<Import> =>
      unwrap(api.GET("/api/v1/imports/{id}/", { params: { path: { id } } })),
    refetchInterval: ({ state }) => (state.data && !isFinal(state.data.state) ? POLL_MS : false),
  });

export async function cancelImport(id: string): Promise<Import> {
  return unwrap(api.POST("/api/v1/imports/{id}/cancel", { params: { path: { id } } }));
}

export type HubDataset = { dataset: string; part: string; split: string; revision: string };

/** Queues the download and the import of a dataset. The server uses its defaults for empty fields. */
export async function importDataset(
  slug: string,
  hub: HubDataset,
  options: ImportOptions,
  dryRun: boolean,
): Promise<Import> {
  const { dataset, ...rest } = hub;
  const filled = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== ""));
  const body = { dataset, ...filled, ...bodyOf(options, dryRun) };
  return unwrap(api.POST("/api/v1/projects/{slug}/imports/hub", { params: { path: { slug } }, body }));
}
