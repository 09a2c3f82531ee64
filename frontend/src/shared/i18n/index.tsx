import { createContext, type ReactNode, startTransition, use, useContext, useMemo, useState } from "react";
import { firstLanguage, type Language, speak } from "./language";

export { LANGUAGES, type Language } from "./language";

/**
 * What a translation of the catalog `T` must hold: the same keys, and functions of the same arguments. Catalogs are plain
 * objects, so the compiler finds a text that is missing, and a sentence with numbers in it is a function, which may inflect as
 * its language does.
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
        // The page stays as it is until the other catalogs are here.
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
 * A hook that gives a feature's texts in the chosen language. English is part of the feature; another language is loaded when
 * it is first asked for, and where there is none, or it can't be had, English stands in.
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

/** The same promise each time, whatever becomes of it: a render that waits for it asks again when it is there. */
function textsIn<T>({ english, others, loaded }: Catalog<T>, language: Other): Promise<Texts<T>> | null {
  const found = loaded.get(language);
  if (found) return found;
  const load = others[language] as (() => Promise<Record<Other, Texts<T>>>) | undefined;
  if (!load) return null;
  const promise = load().then(
    (module) => module[language],
    () => english, // Offline: English until the page is loaded again.
  );
  loaded.set(language, promise);
  return promise;
}
