/**
 * The languages of the interface. To add a language, add an entry here and its text catalogues (such as
 * `texts/<code>.ts`) in the features.
 */
export const LANGUAGES = { en: "English", de: "Deutsch" } as const;

export type Language = keyof typeof LANGUAGES;

const KEY = "rankloop.language";

function isLanguage(code: string | null | undefined): code is Language {
  return code != null && Object.hasOwn(LANGUAGES, code);
}

/**
 * The language chosen earlier in this browser, else the first supported language among the browser's
 * preferences, else English.
 */
export function firstLanguage(): Language {
  try {
    const chosen = localStorage.getItem(KEY);
    if (isLanguage(chosen)) return chosen;
  } catch {
    // Storage is disabled: the choice lasts until the page is closed.
  }
  return navigator.languages.map((tag) => tag.split("-")[0]).find(isLanguage) ?? "en";
}

let current: Language = "en";

/** The current language, for code outside components, such as the formatting of numbers and dates. */
export function currentLanguage(): Language {
  return current;
}

/**
 * Sets the page language. Screen readers use the language for pronunciation, and the browser remembers the
 * choice for the next visit.
 */
export function speak(language: Language, { remember }: { remember: boolean }): void {
  current = language;
  document.documentElement.lang = language;
  if (!remember) return;
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // Storage is disabled: the choice is not remembered.
  }
}
