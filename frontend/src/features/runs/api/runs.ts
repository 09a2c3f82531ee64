import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type {
  AddedTasks,
  MetricsEvent,
  Model,
  RecipeKind,
  Run,
  RunKind,
  SampleEvent,
  Snapshot,
  ToldEstimate,
} from "@/api/types";
import { cursorOf } from "@/shared/paging";
import { applyEvents, EMPTY_FEED, type RunEvent } from "../feed/feed";

export const recipesQuery = queryOptions({
  queryKey: ["recipes"],
  staleTime: Number.POSITIVE_INFINITY,
  queryFn: (): Promise<Record<string, RecipeKind>> => unwrap(api.GET("/api/v1/runs/recipes/")),
});

/** Interval at which a list with active runs is refetched. */
const BUSY_LIST_MS = 4_000;

export const runsQuery = (project: string) =>
  infiniteQueryOptions({
    queryKey: ["runs", project],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/runs/", { params: { query: { project, ...(pageParam && { cursor: pageParam }) } } }),
      ),
    getNextPageParam: (page) => cursorOf(page.next),
    refetchInterval: ({ state }) =>
      state.data?.pages.some((page) => page.results.some((run) => isLive(run))) ? BUSY_LIST_MS : false,
  });

/** Interval at which an active run is refetched to detect new checkpoints, which no event reports. */
const BUSY_RUN_MS = 30_000;

export const runQuery = (id: string) =>
  queryOptions({
    queryKey: ["run", id],
    queryFn: () => unwrap(api.GET("/api/v1/runs/{run_id}/", { params: { path: { run_id: id } } })),
    refetchInterval: ({ state }) => (state.data && isLive(state.data) ? BUSY_RUN_MS : false),
  });

export const logQuery = (id: string, live: boolean) =>
  queryOptions({
    queryKey: ["run", id, "log"],
    queryFn: () =>
      unwrap(
        api.GET("/api/v1/runs/{run_id}/log", { params: { path: { run_id: id }, query: { tail: 200 } } }),
      ),
    refetchInterval: live ? 2_000 : false,
  });

export const modelChoicesQuery = (project: string) =>
  queryOptions({
    queryKey: ["models", project, "choices"],
    queryFn: async (): Promise<Model[]> =>
      (await unwrap(api.GET("/api/v1/models/", { params: { query: { project } } }))).results,
  });

export const snapshotChoicesQuery = (slug: string) =>
  queryOptions({
    queryKey: ["snapshots", slug, "choices"],
    queryFn: async (): Promise<Snapshot[]> =>
      (await unwrap(api.GET("/api/v1/projects/{slug}/snapshots/", { params: { path: { slug } } }))).results,
  });

export function isLive(run: Pick<Run, "state">): boolean {
  return run.state === "queued" || run.state === "running";
}

async function metricsAfter(id: string, after: number): Promise<MetricsEvent[]> {
  const page = await unwrap(
    api.GET("/api/v1/runs/{run_id}/metrics", { params: { path: { run_id: id }, query: { after } } }),
  );
  return page.results;
}

async function allSamples(id: string): Promise<SampleEvent[]> {
  return unwrap(api.GET("/api/v1/runs/{run_id}/samples", { params: { path: { run_id: id } } }));
}

/** The request body for launching or estimating a run. */
export type LaunchBody = {
  project: string;
  kind: RunKind;
  recipe: Record<string, unknown>;
  inputs: Record<string, string>;
};

export const estimateQuery = (body: LaunchBody) =>
  queryOptions({
    queryKey: ["estimate", body],
    staleTime: 30_000,
    retry: false,
    queryFn: (): Promise<ToldEstimate> => unwrap(api.POST("/api/v1/runs/estimate", { body })),
  });

export async function launchRun(body: LaunchBody & { force: boolean }): Promise<Run> {
  return unwrap(api.POST("/api/v1/runs/", { body }));
}

/** The metrics events with a `seq` above `after`, and all samples that the run has written so far. */
export async function eventsAfter(id: string, after: number): Promise<RunEvent[]> {
  const [metrics, samples] = await Promise.all([metricsAfter(id, after), allSamples(id)]);
  return [
    ...metrics.map((data): RunEvent => ({ type: "metrics", data })),
    ...samples.map((data): RunEvent => ({ type: "sample", data })),
  ];
}

/** The current state of a run's feed, for pages that show several runs without following them live. */
export const feedQuery = (run: Pick<Run, "id" | "state">) =>
  queryOptions({
    queryKey: ["run", run.id, "feed"],
    refetchInterval: isLive(run) ? BUSY_LIST_MS : false,
    queryFn: async () => applyEvents(EMPTY_FEED, await eventsAfter(run.id, 0)),
  });

export async function cancelRun(id: string): Promise<Run> {
  return unwrap(api.POST("/api/v1/runs/{run_id}/cancel", { params: { path: { run_id: id } } }));
}

/** The settings that can be changed when a run is resumed. */
export type ResumeChanges = { max_minutes?: number; other_device?: boolean };

/** Queues the run again. */
export async function resumeRun(id: string, changes: ResumeChanges): Promise<Run> {
  return unwrap(
    api.POST("/api/v1/runs/{run_id}/resume", { params: { path: { run_id: id } }, body: changes }),
  );
}

export function candidatesUrl(id: string): string {
  return `/api/v1/runs/${id}/candidates`;
}

/** Creates ranking tasks from the run's candidates. Repeating the call creates no further tasks. */
export async function askForRankings(id: string): Promise<AddedTasks> {
  return unwrap(
    api.POST("/api/v1/runs/{run_id}/candidates/tasks", { params: { path: { run_id: id } }, body: {} }),
  );
}
