import { useState } from "react";
import { timeOfDay } from "@/shared/format";

/** A lease is renewed through a pause for so long; then others want the task more than a desk nobody came back to. */
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
