import { useState } from "react";
import { timeOfDay } from "@/shared/format";

/**
 * Maximum time for which a lease is renewed during a pause. After a longer pause, the task can be assigned to
 * other annotators.
 */
const KEPT_MS = 60 * 60_000;

export function usePause() {
  const [until, setUntil] = useState<number | null>(null);
  return {
    paused: until !== null,
    until,
    keptUntil: until === null ? "" : timeOfDay(until),
    begin: () => setUntil(Date.now() + KEPT_MS),
    end: () => setUntil(null),
  };
}
