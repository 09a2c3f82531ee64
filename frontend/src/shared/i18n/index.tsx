import { createContext, type ReactNode, startTransition, use, useContext, useMemo, useState } from "react";
import { firstLanguage, type Language, speak } from "./language";

export { LANGUAGES, type Language } from "./language";

/**
 * The type of a translation of the catalogue `T`: the same keys, and functions with the same parameters.
 * Catalogues are typed objects, so that the compiler reports missing texts. A sentence with numbers is a
 * function, so that each language can inflect its words.
 */
export type Texts<T> = {
  readonly [K in keyof T]: T[K] extends (...values: infer V) => string
    ? (...values: V) => string
    : T[K] extends string
      ? string
      : Texts<T[K]>;
};

type Other = Exclude<Language, "en">;
type Loaders<T> = { [L in Other]?: () => Promise<Record<L, Texts<T>>> };

type Choice = { language: Language; choose: (language: Language) => void };

const Chosen = createContext<Choice>({ language: "en", choose: () => undefined });

export function LanguageProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(() => {
    const first = firstLanguage();
    speak(first, { remember: false });
    return first;
  });
  const choice = useMemo(
    () => ({
      language,
      choose: (next: Language) => {
        speak(next, { remember: true });
        // The page does not change until the catalogues of the new language have loaded.
        startTransition(() => setLanguage(next));
      },
    }),
    [language],
  );
  return <Chosen value={choice}>{children}</Chosen>;
}

export function useLanguage(): Choice {
  return useContext(Chosen);
}

type Catalog<T> = { english: Texts<T>; others: Loaders<T>; loaded: Map<Other, Promise<Texts<T>>> };

/**
 * Creates a hook that returns a feature's texts in the chosen language. English is bundled with the feature;
 * other languages are loaded when first needed. English is the fallback if a translation is missing or can't
 * be loaded.
 */
export function catalog<T extends object>(en: T, others: Loaders<T> = {}): () => Texts<T> {
  const all: Catalog<T> = { english: en as unknown as Texts<T>, others, loaded: new Map() };
  return () => useCatalog(all);
}

function useCatalog<T>(all: Catalog<T>): Texts<T> {
  const { language } = useLanguage();
  const promise = language === "en" ? null : textsIn(all, language);
  return promise ? use(promise) : all.english;
}

/**
 * Returns the same promise each time, even after a failure. When the promise settles, React renders the
 * suspended component again, and the component calls this function again.
 */
function textsIn<T>({ english, others, loaded }: Catalog<T>, language: Other): Promise<Texts<T>> | null {
  const found = loaded.get(language);
  if (found) return found;
  const load = others[language] as (() => Promise<Record<Other, Texts<T>>>) | undefined;
  if (!load) return null;
  const promise = load().then(
    (module) => module[language],
    () => english, // After a failed load, the texts stay in English until the page is reloaded.
  );
  loaded.set(language, promise);
  return promise;
}
