import { useEffect, useMemo, useState } from "react";
import type { ShownResponse } from "@/api/types";
import type { Comparison, Piece } from "./compare";

export type Mark = {
  /**
   * Identifies the comparison. A text with new marks is remounted instead of updated, because React takes
   * several seconds to update thousands of elements.
   */
  readonly of: string;
  readonly pieces: readonly Piece[];
  readonly tag: "del" | "ins";
};
/** The marks in both compared responses, by response ID. */
export type Marks = ReadonlyMap<string, Mark>;

/** The summary of a comparison, shown above the responses. The first response is the upper one. */
export type Compared = {
  readonly ids: readonly [string, string];
  /**
   * For each response, the number of words that occur only in that response. Null if the responses were too
   * long or too different to compare.
   */
  readonly words: readonly [number, number] | null;
};

const NONE: Marks = new Map();

type Compare = (first: string, second: string) => Comparison;

let loaded: Compare | undefined;

/** Loads the comparison only when it is first used, so that the first load of the desk stays small. */
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
      // Without a connection, the module cannot be loaded and nothing is marked. The next comparison tries to
      // load the module again.
      () => undefined,
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
