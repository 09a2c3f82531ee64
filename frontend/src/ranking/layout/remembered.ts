import { useCallback, useState } from "react";
import type { Layout } from "./layouts";

/** The view settings that this browser remembers. */
type Remembered = {
  /** The layout for tasks that are ranked as a list. */
  readonly list: Layout;
  /** The layout for tasks with exactly two responses. */
  readonly pair: Layout;
  /** Whether cards side by side scroll together. */
  readonly together: boolean;
  /** Whether the line of the most used shortcuts is shown. */
  readonly keyLine: boolean;
};

const KEY = "rankloop.desk.view";
export const AT_FIRST: Remembered = { list: "column", pair: "row", together: true, keyLine: true };

/** The settings for a browser without storage. These settings last until the page is closed. */
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

/** The view settings, and a function that changes them. */
export type Memory = readonly [Remembered, (next: Remembered) => void];

/** The view settings of this browser, which are kept across tasks and sessions. */
export function useRemembered(): Memory {
  const [kept, setKept] = useState(recall);
  const keep = useCallback((next: Remembered) => {
    setKept(next);
    remember(next);
  }, []);
  return [kept, keep];
}
