import { queryOptions } from "@tanstack/react-query";
import { api, unwrap } from "@/api/client";
import type { Queue } from "@/api/types";

const POLL_MS = 3_000;

export const queueQuery = queryOptions({
  queryKey: ["queue"],
  queryFn: (): Promise<Queue> => unwrap(api.GET("/api/v1/queue/")),
  refetchInterval: POLL_MS,
});
