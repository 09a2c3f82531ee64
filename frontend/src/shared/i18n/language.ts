/** The languages of the interface. Another one is an entry here and a `texts/<code>.ts` in the features. */
export const LANGUAGES = { en: "English", de: "Deutsch" } as const;

export type Language = keyof typeof LANGUAGES;

const KEY = "rankloop.language";

function isLanguage(code: string | null | undefined): code is Language {
  return code != null && Object.hasOwn(LANGUAGES, code);
}

/** The one chosen here before; else the browser's first that there is; else English. */
export function firstLanguage(): Language {
  try {
    const chosen = localStorage.getItem(KEY);
    if (isLanguage(chosen)) return chosen;
  } catch {
    // Storage is switched off: the choice holds until the page is closed.
  }
  return navigator.languages.map((tag) => tag.split("-")[0]).find(isLanguage) ?? "en";
}

let current: Language = "en";

/** The language of numbers and dates, for code outside of components. */
export function currentLanguage(): Language {
  return current;
}

/** Makes `language` the page's: what screen readers pronounce by, and what the next visit begins with. */
export function speak(language: Language, { remember }: { remember: boolean }): void {
  current = language;
  document.documentElement.lang = language;
  if (!remember) return;
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // As above.
  }
}
