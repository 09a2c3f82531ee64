import { useCallback, useState } from "react";
import type { Layout } from "./layouts";

/** What this browser remembers of how somebody looks at responses. */
type Remembered = {
  /** Of a list to be ordered, and of two on a scale. */
  readonly list: Layout;
  readonly pair: Layout;
  /** Cards side by side scroll together. */
  readonly together: boolean;
  /** The line of keys for those who are new here. */
  readonly keyLine: boolean;
};

const KEY = "rankloop.desk.view";
export const AT_FIRST: Remembered = { list: "column", pair: "row", together: true, keyLine: true };

/** For browsers that refuse storage: then it lasts as long as the page. */
let lately: Remembered | null = null;

const isLayout = (value: unknown): value is Layout =>
  value === "column" || value === "row" || value === "focus";

export function recall(): Remembered {
  if (lately) return lately;
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (typeof kept !== "object" || kept === null) return AT_FIRST;
    const { list, pair, together, keyLine } = kept as Record<string, unknown>;
    return {
      list: isLayout(list) ? list : AT_FIRST.list,
      pair: isLayout(pair) ? pair : AT_FIRST.pair,
      together: typeof together === "boolean" ? together : AT_FIRST.together,
      keyLine: typeof keyLine === "boolean" ? keyLine : AT_FIRST.keyLine,
    };
  } catch {
    return AT_FIRST;
  }
}

export function remember(view: Remembered): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(view));
    lately = null;
  } catch {
    lately = view;
  }
}

/** How somebody looks at responses, and the way to change it. */
export type Memory = readonly [Remembered, (next: Remembered) => void];

/** What this browser remembers, from one task to the next and from one day to another. */
export function useRemembered(): Memory {
  const [kept, setKept] = useState(recall);
  const keep = useCallback((next: Remembered) => {
    setKept(next);
    remember(next);
  }, []);
  return [kept, keep];
}
