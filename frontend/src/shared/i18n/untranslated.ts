import { cleanup } from "@testing-library/react";
import { expect } from "vitest";

/** What stands on the page and what it is called, without what the project wrote and without what is printed on keys. */
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

/** All words that were on the page at one time or another while somebody did this, in one language. */
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
 * What a page says in German and in English alike: a sentence that stands in a component and not in a catalog, or one that
 * nobody has translated. What comes from the server stands in ‹marks› and is left out, and so are words that are the `same` in
 * both languages.
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
