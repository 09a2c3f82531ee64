const words = new Intl.Segmenter(undefined, { granularity: "word" });

/** Counts the words in a text. Text in scripts without spaces is segmented with a dictionary. */
export function wordsIn(text: string): number {
  let count = 0;
  for (const { isWordLike } of words.segment(text)) if (isWordLike) count++;
  return count;
}
