import { useLocation } from "@tanstack/react-router";
import { type RefObject, useEffect, useRef } from "react";

/**
 * Keeps the active link in view, for a row of links that can be wider than the screen. `ready` is true once the links
 * are rendered.
 */
export function useActiveInSight(ready = true): RefObject<HTMLElement | null> {
  const { pathname } = useLocation();
  const row = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the dependencies trigger the effect
  useEffect(() => {
    row.current
      ?.querySelector("[data-status=active]")
      ?.scrollIntoView({ inline: "nearest", block: "nearest" });
  }, [pathname, ready]);
  return row;
}
