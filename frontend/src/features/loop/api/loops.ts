import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { AnswersCompared, ImprovingKind, Loop, RoundDetail, TimelineRound } from "@/api/types";
import { cursorOf } from "@/shared/paging";
import type { SettingsSchema } from "../settings";

/** Polling interval while a round is running. Each step of a round takes at least a few seconds. */
const WATCH_MS = 3_000;
/** Polling interval while the loop waits for comparisons. */
const WAIT_MS = 15_000;

/**
 * The project's loop, or null if it has none. The list of loops is read first, because the browser would log a
 * 404 response as an error.
 */
export const loopQuery = (slug: string) =>
  queryOptions({
    queryKey: ["loop", slug],
    queryFn: async (): Promise<Loop | null> => {
      const loops = await unwrap(api.GET("/api/v1/loops/", { params: { query: { project: slug } } }));
      if (loops.results.length === 0) return null;
      return unwrap(api.GET("/api/v1/projects/{slug}/loop/", { params: { path: { slug } } }));
    },
    refetchInterval: ({ state }) => (state.data?.status.running_round ? WATCH_MS : WAIT_MS),
  });

export const settingsSchemaQuery = queryOptions({
  queryKey: ["loop-settings"],
  queryFn: async () => (await unwrap(api.GET("/api/v1/loops/settings/"))) as unknown as SettingsSchema,
  staleTime: Number.POSITIVE_INFINITY,
});

export const roundsQuery = (slug: string) =>
  infiniteQueryOptions({
    queryKey: ["rounds", slug],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      unwrap(
        api.GET("/api/v1/projects/{slug}/rounds/", {
          params: { path: { slug }, query: pageParam ? { cursor: pageParam } : {} },
        }),
      ),
    getNextPageParam: (last) => cursorOf(last.next),
    refetchInterval: ({ state }) =>
      state.data?.pages[0]?.results.some((round) => round.state === "running") ? WATCH_MS : WAIT_MS,
  });

export const roundQuery = (id: string) =>
  queryOptions({
    queryKey: ["round", id],
    queryFn: (): Promise<RoundDetail> =>
      unwrap(api.GET("/api/v1/rounds/{round_id}/", { params: { path: { round_id: id } } })),
    refetchInterval: ({ state }) => (state.data?.state === "running" ? WATCH_MS : false),
  });

export const timelineQuery = (slug: string, roundsRun: boolean) =>
  queryOptions({
    queryKey: ["rounds", slug, "timeline"],
    queryFn: (): Promise<TimelineRound[]> =>
      unwrap(api.GET("/api/v1/projects/{slug}/rounds/timeline/", { params: { path: { slug } } })),
    refetchInterval: roundsRun ? WAIT_MS : false,
  });

/** Sample answers of the production policy and of the new policy that the run kind `subject` made. */
export const answersQuery = (id: string, subject: string) =>
  queryOptions({
    queryKey: ["round", id, "answers", subject],
    queryFn: (): Promise<AnswersCompared[]> =>
      unwrap(
        api.GET("/api/v1/rounds/{round_id}/answers", {
          params: { path: { round_id: id }, query: { subject: subject as ImprovingKind } },
        }),
      ),
    staleTime: Number.POSITIVE_INFINITY,
  });

export async function saveLoop(
  slug: string,
  body: { enabled?: boolean; settings?: Record<string, unknown> },
): Promise<Loop> {
  return unwrap(api.PUT("/api/v1/projects/{slug}/loop/", { params: { path: { slug } }, body }));
}

export async function startRound(slug: string): Promise<RoundDetail> {
  return unwrap(api.POST("/api/v1/projects/{slug}/rounds/", { params: { path: { slug } } }));
}

export async function cancelRound(id: string): Promise<RoundDetail> {
  return unwrap(api.POST("/api/v1/rounds/{round_id}/cancel", { params: { path: { round_id: id } } }));
}

export async function approveGate(id: string): Promise<RoundDetail> {
  return unwrap(api.POST("/api/v1/gates/{gate_id}/approve", { params: { path: { gate_id: id } } }));
}

export async function rejectGate(id: string, reason: string): Promise<RoundDetail> {
  return unwrap(
    api.POST("/api/v1/gates/{gate_id}/reject", { params: { path: { gate_id: id } }, body: { reason } }),
  );
}

export async function resumeRound(id: string): Promise<RoundDetail> {
  return unwrap(api.POST("/api/v1/rounds/{round_id}/resume", { params: { path: { round_id: id } } }));
}
