import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useReducer, useRef, useState } from "react";
import { eventsAfter, runQuery } from "../api/runs";
import { applyEvents, EMPTY_FEED, type RunFeed } from "./feed";
import { type Connection, watchRun } from "./watchRun";

/**
 * A run's feed: followed live while the run is active, and fetched completely once the run has ended. Mount
 * a new component for each run ID, for example with `key={id}`, because the feed is not reset if `id` changes.
 */
export function useRunFeed(id: string, live: boolean): { feed: RunFeed; connection: Connection } {
  const [feed, take] = useReducer(applyEvents, EMPTY_FEED);
  const [connection, setConnection] = useState<Connection>("connecting");
  const lastSeq = useRef(0);
  lastSeq.current = feed.lastMetricsSeq;
  const queryClient = useQueryClient();

  useEffect(() => {
    const refreshRun = () => queryClient.invalidateQueries({ queryKey: runQuery(id).queryKey });
    if (live) {
      return watchRun({
        url: (after) => `/api/v1/runs/${id}/events?after=${after}`,
        poll: async () => {
          void refreshRun();
          return eventsAfter(id, lastSeq.current);
        },
        onEvents: (events) => {
          take(events);
          if (events.some((event) => event.type === "state")) void refreshRun();
        },
        onConnection: setConnection,
      });
    }
    let current = true;
    eventsAfter(id, lastSeq.current).then(
      (events) => current && take(events),
      () => undefined,
    );
    return () => {
      current = false;
    };
  }, [id, live, queryClient]);

  // When a run ends, its state in the list of runs changes, and the list of models can change. Therefore,
  // both lists are refetched.
  const wasLive = useRef(live);
  useEffect(() => {
    if (wasLive.current && !live) {
      void queryClient.invalidateQueries({ queryKey: ["runs"] });
      void queryClient.invalidateQueries({ queryKey: ["models"] });
    }
    wasLive.current = live;
  }, [live, queryClient]);

  return { feed, connection };
}
