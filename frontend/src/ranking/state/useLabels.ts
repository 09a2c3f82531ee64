import { useMemo } from "react";
import type { ShownResponse } from "@/api/types";
import { letterOf } from "../order/announce";
import { excerptOf } from "./excerpt";

type Labels = { letters: ReadonlyMap<string, string>; excerpts: ReadonlyMap<string, string> };

/**
 * Each response's letter, which stays the same when the responses are reordered, and its first words without
 * Markdown.
 */
export function useLabels(responses: readonly ShownResponse[], shownOrder: readonly string[]): Labels {
  return useMemo(
    () => ({
      letters: new Map(shownOrder.map((id) => [id, letterOf(shownOrder, id)])),
      excerpts: new Map(responses.map(({ id, text }) => [id, excerptOf(text)])),
    }),
    [responses, shownOrder],
  );
}
