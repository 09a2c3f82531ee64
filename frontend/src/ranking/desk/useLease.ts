import { useEffect, useState } from "react";
import { type ApiProblem, asProblem } from "@/api/problem";
import type { Assignment } from "@/api/types";

const LONGEST_PAUSE_MS = 60_000;
const SHORTEST_PAUSE_MS = 5_000;

/**
 * The time until the next heartbeat, in milliseconds: a third of the remaining lease time, but at least
 * `SHORTEST_PAUSE_MS` and at most `LONGEST_PAUSE_MS`. The lease thus survives two lost heartbeats.
 */
function nextHeartbeatMs(expiresAt: string, now: number): number {
  const left = Date.parse(expiresAt) - now;
  return Math.max(SHORTEST_PAUSE_MS, Math.min(left / 3, LONGEST_PAUSE_MS));
}

export type Lease = {
  /** The server's refusal; set when the lease is lost. */
  readonly lost: ApiProblem | null;
  /** The last known end of the lease. */
  readonly until: number;
  /** Whether the last heartbeat failed to reach the server. If heartbeats keep failing, the lease expires. */
  readonly unreachable: boolean;
};

type Held = Pick<Assignment, "id" | "token" | "expires_at">;

/**
 * Renews the lease while the page is visible. During a pause, renews the lease until `pausedUntil`, even if
 * the page is hidden. If an answer was taken back, there is no lease, and the token is empty.
 */
export function useLease(
  { id, token, expires_at }: Held,
  renew: (id: string, token: string) => Promise<string>,
  pausedUntil: number | null = null,
): Lease {
  const [lost, setLost] = useState<ApiProblem | null>(null);
  const [until, setUntil] = useState(() => Date.parse(expires_at));
  const [unreachable, setUnreachable] = useState(false);

  useEffect(() => {
    if (!token) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const wanted = () =>
      pausedUntil === null ? document.visibilityState === "visible" : Date.now() < pausedUntil;

    async function beat() {
      clearTimeout(timer);
      if (!wanted()) return;
      let pause = LONGEST_PAUSE_MS / 4;
      try {
        const renewed = await renew(id, token);
        if (over) return;
        pause = nextHeartbeatMs(renewed, Date.now());
        setUntil(Date.parse(renewed));
        setUnreachable(false);
      } catch (error) {
        if (over) return;
        const problem = asProblem(error);
        if (problem.transient) {
          setUnreachable(true);
        } else {
          over = true;
          if (problem.status !== 401) setLost(problem);
        }
      }
      if (!over) timer = setTimeout(beat, pause);
    }

    const now = () => {
      if (!over && wanted()) void beat();
    };
    timer = setTimeout(beat, nextHeartbeatMs(expires_at, Date.now()));
    document.addEventListener("visibilitychange", now);
    // When the connection is lost or restored, an immediate heartbeat updates the state of the lease.
    window.addEventListener("online", now);
    window.addEventListener("offline", now);
    return () => {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", now);
      window.removeEventListener("online", now);
      window.removeEventListener("offline", now);
    };
  }, [id, token, expires_at, renew, pausedUntil]);

  return { lost, until, unreachable };
}
