import { diff, type Run } from "./diff";
import { countsAsWord, type Words, wordsOf } from "./words";

/** A segment of a text; marked if the other text does not contain it at this position. */
export type Piece = { readonly at: number; readonly text: string; readonly marked: boolean };

export type Side = {
  readonly pieces: readonly Piece[];
  /** Number of marked words. */
  readonly words: number;
};

/**
 * The comparison of two texts. Null if comparing the texts would take too long, because the texts are too
 * long or too different.
 */
export type Comparison = { readonly first: Side; readonly second: Side } | null;

/**
 * Maximum total length of two compared texts. Merely splitting longer texts into words noticeably delays the
 * response to a key press (docs/measurements.md).
 */
export const MAX_COMPARED_CHARS = 500_000;

/**
 * Maximum length, in words, of a shared segment (such as "of a") that is considered a coincidence if it lies
 * between two longer differences. The segment is marked too, so that the two differences appear as one mark.
 */
const CHANCE_WORDS = 3;

/** Compares two texts word by word. Differences in whitespace are ignored. */
export function compare(first: string, second: string): Comparison {
  if (first.length + second.length > MAX_COMPARED_CHARS) return null;
  const a = wordsOf(first);
  const b = wordsOf(second);
  const numbers = new Map<string, number>();
  const runs = diff(numbered(a, numbers), numbered(b, numbers));
  if (!runs) return null;
  const readable = withoutChance(runs);
  return { first: side(a, readable, "first"), second: side(b, readable, "second") };
}

function numbered({ keys }: Words, numbers: Map<string, number>): Int32Array {
  return Int32Array.from(keys, (key) => {
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, numbers.size);
    return numbers.size - 1;
  });
}

const longer = ({ first, second }: Run) => Math.max(first[1] - first[0], second[1] - second[0]);

/** Merges two differences that are separated only by coincidentally shared words. */
function withoutChance(runs: readonly Run[]): Run[] {
  const kept: Run[] = [];
  for (const [index, run] of runs.entries()) {
    const before = kept.at(-1);
    const after = runs[index + 1];
    const length = longer(run);
    const chance =
      run.same &&
      before !== undefined &&
      after !== undefined &&
      length <= CHANCE_WORDS &&
      length < longer(before) &&
      length < longer(after);
    if (before && !before.same && (chance || !run.same)) {
      kept[kept.length - 1] = {
        same: false,
        first: [before.first[0], run.first[1]],
        second: [before.second[0], run.second[1]],
      };
    } else {
      kept.push(run);
    }
  }
  return kept;
}

/**
 * Maximum length, in characters, of a mark that is split by line. A longer mark stays whole, because ten
 * thousand lines would become ten thousand elements.
 */
const MAX_SPLIT_CHARS = 20_000;

/**
 * Whitespace around line breaks is not marked. A strikethrough or underline there would look like a marked
 * word.
 */
const SPACE_BETWEEN_LINES = /\s*\n\s*|\s+$/g;

function side({ text, starts, keys }: Words, runs: readonly Run[], which: "first" | "second"): Side {
  const pieces: Piece[] = [];
  let words = 0;
  const add = (at: number, to: number, marked: boolean) => {
    if (to > at) pieces.push({ at, text: text.slice(at, to), marked });
  };
  const mark = (from: number, to: number) => {
    if (to - from > MAX_SPLIT_CHARS) return add(from, to, true);
    let at = from;
    for (const { 0: space, index } of text.slice(from, to).matchAll(SPACE_BETWEEN_LINES)) {
      add(at, from + index, true);
      at = from + index + space.length;
      add(from + index, at, false);
    }
    add(at, to, true);
  };
  for (const run of runs) {
    const [from, to] = run[which];
    const begin = starts[from] ?? text.length;
    const end = starts[to] ?? text.length;
    if (run.same) {
      add(begin, end, false);
      continue;
    }
    for (let word = from; word < to; word++) if (countsAsWord(keys[word] ?? "")) words++;
    mark(begin, end);
  }
  return { pieces, words };
}
