import { useMemo } from "react";
import type { ShownResponse } from "@/api/types";
import { compare, type Piece } from "./compare";

export type Mark = {
  /** Of which comparison: a text marked anew is built anew, since React takes seconds to change thousands of its elements. */
  readonly of: string;
  readonly pieces: readonly Piece[];
  readonly tag: "del" | "ins";
};
/** By response, where two are compared. */
export type Marks = ReadonlyMap<string, Mark>;

/** What the comparison of two responses says above them; the first is the one that stands higher. */
export type Compared = {
  readonly ids: readonly [string, string];
  /** How many words only one of them has; null where they were too long and too unlike to compare. */
  readonly words: readonly [number, number] | null;
};

const NONE: Marks = new Map();

export function useComparison(
  responses: readonly ShownResponse[],
  two: readonly string[] | null,
): { marks: Marks; compared: Compared | null } {
  const [firstId, secondId] = two ?? [];
  const first = responses.find(({ id }) => id === firstId)?.text;
  const second = responses.find(({ id }) => id === secondId)?.text;
  return useMemo(() => {
    if (firstId === undefined || secondId === undefined || first === undefined || second === undefined) {
      return { marks: NONE, compared: null };
    }
    const found = compare(first, second);
    const ids = [firstId, secondId] as const;
    if (!found) return { marks: NONE, compared: { ids, words: null } };
    const of = ids.join();
    return {
      marks: new Map<string, Mark>([
        [firstId, { of, pieces: found.first.pieces, tag: "del" }],
        [secondId, { of, pieces: found.second.pieces, tag: "ins" }],
      ]),
      compared: { ids, words: [found.first.words, found.second.words] as const },
    };
  }, [firstId, secondId, first, second]);
}
