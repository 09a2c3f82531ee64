import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { excerptOf } from "./excerpt";

const signs = (text: string) =>
  [...new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text)].map(({ segment }) => segment);

describe("the excerpt of a response", () => {
  it("an excerpt contains no Markdown and no line breaks", () => {
    expect(excerptOf("# **Title**\n\n> and `code`\n")).toBe("Title and code");
    expect(excerptOf(" ")).toBe("");
  });

  it("an excerpt never ends inside a character, even a composed character", () => {
    const family = "👩‍👩‍👧‍👦";
    const pointed = "שָׁ";
    for (const sign of [family, pointed, "e\u0301", "한", "🇩🇪"]) {
      const cut = excerptOf(sign.repeat(400));
      expect(cut.endsWith("…")).toBe(true);
      expect(new Set(signs(cut.replace("…", "")))).toEqual(new Set([sign]));
    }
  });

  it("an excerpt contains only whole characters from the text, in order", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 600 }), (text) => {
        const shown = signs(excerptOf(text).replace(/…$/u, ""));
        expect(shown.length).toBeLessThanOrEqual(140);
        const words = text.replaceAll(/[\s#*`>_]+/gu, " ").trim();
        expect(words.startsWith(shown.join(""))).toBe(true);
      }),
    );
  });
});
