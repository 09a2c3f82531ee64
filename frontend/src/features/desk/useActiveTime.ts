import { useEffect, useRef } from "react";

/** Milliseconds this task was in front of somebody: time in a hidden tab does not count. Read it with the returned function. */
export function useActiveTime(startMs: number): () => number {
  const total = useRef(startMs);
  const since = useRef<number | null>(null);

  useEffect(() => {
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
  }, []);

  return () => total.current + (since.current === null ? 0 : performance.now() - since.current);
}
