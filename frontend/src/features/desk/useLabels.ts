import { useMemo } from "react";
import type { ShownResponse } from "@/api/types";
import { letterOf } from "./ranking/announce";

const EXCERPT_CHARS = 140;

type Labels = { letters: ReadonlyMap<string, string>; excerpts: ReadonlyMap<string, string> };

/** By response: its letter, which stays with it as the order changes, and its first words without Markdown. */
export function useLabels(responses: readonly ShownResponse[], shownOrder: readonly string[]): Labels {
  return useMemo(
    () => ({
      letters: new Map(shownOrder.map((id) => [id, letterOf(shownOrder, id)])),
      excerpts: new Map(responses.map(({ id, text }) => [id, excerptOf(text)])),
    }),
    [responses, shownOrder],
  );
}

function excerptOf(text: string): string {
  return text
    .slice(0, EXCERPT_CHARS)
    .replaceAll(/[\s#*`>_]+/g, " ")
    .trim();
}
