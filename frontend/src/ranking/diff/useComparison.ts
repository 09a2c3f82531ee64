import { useEffect, useMemo, useState } from "react";
import type { ShownResponse } from "@/api/types";
import type { Comparison, Piece } from "./compare";

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

type Compare = (first: string, second: string) => Comparison;

let loaded: Compare | undefined;

/** The search for differences comes when somebody first wants to see some: the desk is there sooner without. */
function useCompare(wanted: boolean): Compare | undefined {
  const [compare, setCompare] = useState(() => loaded);
  useEffect(() => {
    if (!wanted || compare) return;
    let alive = true;
    import("./compare").then(
      (module) => {
        loaded = module.compare;
        if (alive) setCompare(() => loaded);
      },
      () => undefined, // Offline: nothing is marked; the next look tries again.
    );
    return () => {
      alive = false;
    };
  }, [wanted, compare]);
  return compare;
}

export function useComparison(
  responses: readonly ShownResponse[],
  two: readonly string[] | null,
): { marks: Marks; compared: Compared | null } {
  const [firstId, secondId] = two ?? [];
  const first = responses.find(({ id }) => id === firstId)?.text;
  const second = responses.find(({ id }) => id === secondId)?.text;
  const compare = useCompare(two !== null);
  return useMemo(() => {
    if (!compare) return { marks: NONE, compared: null };
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
  }, [compare, firstId, secondId, first, second]);
}
