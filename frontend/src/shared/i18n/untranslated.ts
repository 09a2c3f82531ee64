import { cleanup } from "@testing-library/react";
import { expect } from "vitest";

/**
 * The words of all texts and accessible names on the page, except texts in ‹angle marks› and the labels of
 * keyboard keys.
 */
function wordsIn(root: Element): string[] {
  const texts: string[] = [];
  for (const element of root.querySelectorAll("*")) {
    if (element.closest("style, kbd")) continue;
    for (const name of ["aria-label", "title", "placeholder"]) texts.push(element.getAttribute(name) ?? "");
    for (const node of element.childNodes)
      if (node.nodeType === Node.TEXT_NODE) texts.push(node.nodeValue ?? "");
  }
  return texts.flatMap((text) => text.replaceAll(/‹[^›]*›/g, "").match(/\p{L}{2,}/gu) ?? []);
}

export type Listen = (root?: Element) => void;

/** The words on the page, in one language, at the moments when `does` calls `listen`. */
async function heard(language: "en" | "de", does: (listen: Listen) => Promise<void>): Promise<Set<string>> {
  localStorage.clear();
  localStorage.setItem("rankloop.language", language);
  const words = new Set<string>();
  await does((root = document.body) => {
    for (const word of wordsIn(root)) words.add(word);
  });
  cleanup();
  return words;
}

/**
 * Words that occur on both the German page and the English page, because their text has no translation or is
 * in a component instead of a catalogue. Texts from the server are excluded; tests enclose these texts in
 * ‹angle marks›. The words in `same` are also excluded, because they are the same in both languages.
 */
export async function untranslated(
  same: readonly string[],
  does: (listen: Listen) => Promise<void>,
): Promise<string[]> {
  const english = await heard("en", does);
  const german = await heard("de", does);
  expect(german.size).toBeGreaterThan(0);
  return [...german].filter((word) => english.has(word) && !same.includes(word));
}
