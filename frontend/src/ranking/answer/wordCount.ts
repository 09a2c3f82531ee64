const words = new Intl.Segmenter(undefined, { granularity: "word" });

/** How many words a text has; where a script puts no spaces between them, as its readers would count. */
export function wordsIn(text: string): number {
  let count = 0;
  for (const { isWordLike } of words.segment(text)) if (isWordLike) count++;
  return count;
}
