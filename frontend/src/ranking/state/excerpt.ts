const EXCERPT_SIGNS = 140;

/**
 * The number of characters of a response that are examined. The limit is sufficient for an excerpt, and makes
 * the running time independent of the response's length.
 */
const LOOKED_AT_CHARS = 1_000;

const HALF_A_PAIR = /[\ud800-\udbff]$/;

const signs = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/**
 * The first words of a response, without its Markdown. Never splits an emoji, and never separates a letter from
 * its combining marks.
 */
export function excerptOf(text: string): string {
  const words = text
    .slice(0, LOOKED_AT_CHARS)
    .replace(HALF_A_PAIR, "")
    .replaceAll(/[\s#*`>_]+/gu, " ")
    .trim();
  let [end, count] = [0, 0];
  for (const { index, segment } of signs.segment(words)) {
    if (count === EXCERPT_SIGNS) return `${words.slice(0, end).trimEnd()}…`;
    // The text may have been truncated within this segment.
    const last = index + segment.length === words.length;
    if (last && text.length > LOOKED_AT_CHARS) return `${words.slice(0, end).trimEnd()}…`;
    end = index + segment.length;
    count++;
  }
  return words.slice(0, end);
}
