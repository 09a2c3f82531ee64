/**
 * A text split into words. The whitespace after a word belongs to that word, so joining the words yields
 * exactly the text. Whitespace is ignored when words are compared.
 */
export type Words = {
  readonly text: string;
  /** The start of each word, followed by the length of the text. */
  readonly starts: readonly number[];
  /** Each word without the whitespace after it. */
  readonly keys: readonly string[];
};

/** Scripts written without spaces, whose word boundaries come from a dictionary. */
const SPACELESS =
  "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}\\p{Script=Myanmar}";

/**
 * Tries five patterns in turn: a run in a script without spaces, a word or number with its combining marks
 * and apostrophes, an emoji with everything joined to it, any other single character with its combining
 * marks, and whitespace at the start of the text. All other whitespace is part of the word before it.
 */
const PIECE = new RegExp(
  `(?<run>[${SPACELESS}][${SPACELESS}\\p{M}ー]*)` +
    `|(?:(?![${SPACELESS}])[\\p{L}\\p{N}_][\\p{M}'’\\u200c\\u200d]*)+` +
    "|\\p{RI}\\p{RI}|\\p{Extended_Pictographic}[\\p{M}\\p{Emoji_Modifier}]*(?:\\u200d\\p{Extended_Pictographic}[\\p{M}\\p{Emoji_Modifier}]*)*" +
    "|\\S\\p{M}*|^\\s+",
  "gu",
);

const dictionary = new Intl.Segmenter(undefined, { granularity: "word" });

export function wordsOf(text: string): Words {
  const starts: number[] = [];
  const keys: string[] = [];
  for (const match of text.matchAll(PIECE)) {
    const { 0: piece, index, groups } = match;
    if (groups?.run) {
      for (const { segment, index: within } of dictionary.segment(piece)) {
        starts.push(index + within);
        keys.push(segment);
      }
    } else {
      starts.push(index);
      keys.push(piece.trim());
    }
  }
  return { text, starts: [...starts, text.length], keys };
}

const HAS_LETTERS = /[\p{L}\p{N}]/u;

/** Punctuation alone is not a word. */
export function countsAsWord(key: string): boolean {
  return HAS_LETTERS.test(key);
}
