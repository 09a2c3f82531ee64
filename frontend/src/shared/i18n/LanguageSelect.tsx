import { LANGUAGES, type Language, useLanguage } from ".";

/** Lists each language by its native name, so that users can recognise their language. */
export function LanguageSelect({ label, className }: { label: string; className?: string | undefined }) {
  const { language, choose } = useLanguage();
  return (
    <select
      aria-label={label}
      className={className}
      value={language}
      onChange={(event) => choose(event.currentTarget.value as Language)}
    >
      {Object.entries(LANGUAGES).map(([code, name]) => (
        <option key={code} value={code} lang={code}>
          {name}
        </option>
      ))}
    </select>
  );
}
