const words = new Intl.Segmenter(undefined, { granularity: "word" });

/** Counts the words of a text. Scripts without spaces are segmented by dictionary. */
export function wordsIn(text: string): number {
  let count = 0;
  for (const { isWordLike } of words.segment(text)) if (isWordLike) count++;
  return count;
}
