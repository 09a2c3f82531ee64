import { useEffect, useState } from "react";
import { type ApiProblem, asProblem } from "@/api/problem";
import type { Assignment } from "@/api/types";
import { renewLease } from "./api/assignments";

const LONGEST_PAUSE_MS = 60_000;
const SHORTEST_PAUSE_MS = 5_000;

/** A third of what is left, so two heartbeats may be lost before the lease is. */
export function nextHeartbeatMs(expiresAt: string, now: number): number {
  const left = Date.parse(expiresAt) - now;
  return Math.max(SHORTEST_PAUSE_MS, Math.min(left / 3, LONGEST_PAUSE_MS));
}

/** Renews the lease while the page is visible. Returns the refusal once the lease is lost. */
export function useLease(
  assignment: Pick<Assignment, "id" | "token" | "expires_at">,
  renew: (id: string, token: string) => Promise<string> = renewLease,
): ApiProblem | null {
  const { id, token, expires_at } = assignment;
  const [lost, setLost] = useState<ApiProblem | null>(null);

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    let over = false;

    async function beat() {
      clearTimeout(timer);
      if (document.visibilityState !== "visible") return;
      let pause = LONGEST_PAUSE_MS / 4;
      try {
        pause = nextHeartbeatMs(await renew(id, token), Date.now());
      } catch (error) {
        const problem = asProblem(error);
        if (!problem.transient) {
          over = true;
          if (problem.status !== 401) setLost(problem);
        }
      }
      if (!over) timer = setTimeout(beat, pause);
    }

    const onVisible = () => {
      if (document.visibilityState === "visible" && !over) void beat();
    };
    timer = setTimeout(beat, nextHeartbeatMs(expires_at, Date.now()));
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      over = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [id, token, expires_at, renew]);

  return lost;
}
