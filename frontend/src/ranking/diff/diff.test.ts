import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compare, MAX_COMPARED_CHARS, type Side } from "./compare";
import { diff, type Run } from "./diff";
import { countsAsWord, wordsOf } from "./words";

const numbers = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 40 });

/** Length of the longest common subsequence, computed by dynamic programming. */
function commonLength(a: readonly number[], b: readonly number[]): number {
  let row = new Array<number>(b.length + 1).fill(0);
  for (const one of a) {
    const next = [0];
    for (const [index, other] of b.entries()) {
      next.push(one === other ? (row[index] ?? 0) + 1 : Math.max(row[index + 1] ?? 0, next[index] ?? 0));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

describe("the shortest edit script", () => {
  it("keeps a longest common subsequence and covers both sequences", () => {
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        const runs = diff(Int32Array.from(a), Int32Array.from(b)) as Run[];
        let [first, second, kept] = [0, 0, 0];
        for (const run of runs) {
          expect([run.first[0], run.second[0]]).toEqual([first, second]);
          [first, second] = [run.first[1], run.second[1]];
          if (!run.same) continue;
          expect(a.slice(...run.first)).toEqual(b.slice(...run.second));
          kept += run.first[1] - run.first[0];
        }
        expect([first, second]).toEqual([a.length, b.length]);
        expect(kept).toBe(commonLength(a, b));
        // Equal and different segments alternate.
        expect(runs.every((run, index) => index === 0 || run.same !== runs[index - 1]?.same)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it("gives up after the allowed number of steps", () => {
    const a = Int32Array.from({ length: 4_000 }, (_, index) => index);
    const b = a.toReversed();
    expect(diff(a, b, 100_000)).toBeNull();
    expect(diff(a, a, 100_000)).toHaveLength(1);
    // Sequences with nothing in common need no search steps.
    expect(
      diff(
        a,
        a.map((value) => value + 10_000),
        100,
      ),
    ).toHaveLength(1);
  });
});

const WORDS = [
  "one",
  "two",
  "it’s",
  "الجواب",
  "東京に行きました。",
  "👩‍👧",
  "ไม่มีช่องว่าง",
  "```",
  " ",
  "\n\n",
  ", ",
  "e\u0301",
];
const texts = fc.oneof(
  fc.array(fc.constantFrom(...WORDS), { maxLength: 40 }).map((parts) => parts.join("")),
  fc.array(fc.constantFrom(...WORDS), { maxLength: 40 }).map((parts) => parts.join(" ")),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.string({ unit: "binary", maxLength: 60 }),
);
const whole = ({ pieces }: Side) => pieces.map(({ text }) => text).join("");
const unmarked = ({ pieces }: Side) =>
  pieces
    .filter(({ marked }) => !marked)
    .map(({ text }) => text.replaceAll(/\s+/gu, ""))
    .join("");

describe("a word-by-word comparison", () => {
  it("reproduces both texts and leaves only shared words unmarked", () => {
    fc.assert(
      fc.property(texts, texts, (first, second) => {
        const found = compare(first, second);
        expect(found).not.toBeNull();
        if (!found) return;
        expect(whole(found.first)).toBe(first);
        expect(whole(found.second)).toBe(second);
        expect(unmarked(found.first)).toBe(unmarked(found.second));
      }),
      { numRuns: 1_000 },
    );
  });

  it("ignores differences in whitespace", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const found = compare(text, `  ${text.trim().replaceAll(/\s+/gu, "\n")} `);
        expect(found?.first.words).toBe(0);
        expect(found?.first.pieces.some(({ marked }) => marked)).toBe(false);
      }),
    );
  });

  it("marks words, not letters", () => {
    const found = compare("The cat sat on the mat.", "The dog sat on a mat.");
    const marks = (side: Side | undefined) =>
      side?.pieces.filter(({ marked }) => marked).map(({ text }) => text);
    expect(marks(found?.first)).toEqual(["cat", "the"]);
    expect(marks(found?.second)).toEqual(["dog", "a"]);
    expect(found?.first.words).toBe(2);
  });

  it("finds words in scripts without spaces", () => {
    const found = compare("我喜欢喝绿茶。", "我喜欢喝咖啡。");
    const marks = (side: Side | undefined) =>
      side?.pieces.filter(({ marked }) => marked).map(({ text }) => text);
    expect(marks(found?.first)).toEqual(["绿茶"]);
    expect(marks(found?.second)).toEqual(["咖啡"]);
  });

  it("never marks whitespace at the end or start of a line", () => {
    const found = compare("def f():\n    pass", "f = lambda x:\n\n    return x + 1\n");
    for (const { text, marked } of found?.second.pieces ?? []) {
      if (marked) expect(text).toBe(text.trim());
    }
  });

  it("does not split a difference at a coincidental word", () => {
    const found = compare(
      "Start. Boil the water for ten minutes then pour it over the leaves. End.",
      "Start. Ask a friend who knows about the subject and trust them. End.",
    );
    expect(found?.first.pieces.filter(({ marked }) => marked)).toHaveLength(1);
  });

  it("returns null for texts that are too long or too different", () => {
    expect(compare("a".repeat(MAX_COMPARED_CHARS), "b")).toBeNull();
    const random = (seed: number) =>
      Array.from({ length: 30_000 }, (_, index) => ((index * seed) % 99_991).toString(36)).join(" ");
    expect(compare(random(7_919), random(104_729))).toBeNull();
  });
});

describe("a text split into words", () => {
  it("joining the words yields exactly the original text", () => {
    fc.assert(
      fc.property(texts, (text) => {
        const { starts, keys } = wordsOf(text);
        expect(starts).toHaveLength(keys.length + 1);
        expect(keys.length === 0 || starts[0] === 0).toBe(true);
        expect([...starts].sort((a, b) => a - b)).toEqual(starts);
        keys.forEach((key, index) => {
          expect(text.slice(starts[index], starts[index + 1]).trim()).toBe(key.trim());
        });
      }),
    );
  });

  it("keeps contractions and composed emoji together", () => {
    expect(wordsOf("don't 👩‍👩‍👧‍👦 🇩🇪 3.5").keys).toEqual(["don't", "👩‍👩‍👧‍👦", "🇩🇪", "3", ".", "5"]);
    expect(wordsOf("don't, 東京!").keys.filter(countsAsWord)).toEqual(["don't", "東京"]);
  });
});
