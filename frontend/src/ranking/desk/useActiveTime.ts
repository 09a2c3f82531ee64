import { useEffect, useRef } from "react";

/**
 * Measures how long this task was on the screen, in milliseconds. Time in a hidden tab or in a pause does not count.
 * Returns a function that returns the time measured so far.
 */
export function useActiveTime(startMs: number, paused = false): () => number {
  const total = useRef(startMs);
  const since = useRef<number | null>(null);

  useEffect(() => {
    if (paused) return;
    const visible = () => document.visibilityState === "visible";
    const stop = () => {
      if (since.current !== null) total.current += performance.now() - since.current;
      since.current = null;
    };
    const update = () => {
      stop();
      if (visible()) since.current = performance.now();
    };
    update();
    document.addEventListener("visibilitychange", update);
    return () => {
      stop();
      document.removeEventListener("visibilitychange", update);
    };
  }, [paused]);

  return () => total.current + (since.current === null ? 0 : performance.now() - since.current);
}
