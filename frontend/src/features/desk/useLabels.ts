import { useMemo } from "react";
import type { ShownResponse } from "@/api/types";
import { excerptOf } from "./excerpt";
import { letterOf } from "./ranking/announce";

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
