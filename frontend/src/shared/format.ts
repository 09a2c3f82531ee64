import { currentLanguage, type Language } from "./i18n/language";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const WORDS: Record<
  Language,
  { fewSeconds: string; about: string; justNow: string; ago: (time: string) => string }
> = {
  en: { fewSeconds: "a few seconds", about: "about", justNow: "just now", ago: (time) => `${time} ago` },
  de: {
    fewSeconds: "ein paar Sekunden",
    about: "etwa",
    justNow: "gerade eben",
    ago: (time) => `vor ${time}`,
  },
};
const said = () => WORDS[currentLanguage()];

const integers: Partial<Record<Language, Intl.NumberFormat>> = {};

export function count(value: number): string {
  const language = currentLanguage();
  integers[language] ??= new Intl.NumberFormat(language, { maximumFractionDigits: 0 });
  return integers[language].format(value);
}

/** A count with its noun, such as "1 ranking" or "3 rankings". */
export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A metric with about four significant digits, without an exponent if a plain number is readable. */
export function metric(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (Number.isInteger(value) && size < 1e9) return count(value);
  if (size < 1e-4 || size >= 1e7) return value.toExponential(2).replace(/^-/, "−");
  if (size >= 1000) return count(value);
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

export function percent(share: number, digits = 0): string {
  return `${(share * 100).toFixed(digits)} %`;
}

/** A duration, such as 42 s, 3 min 20 s or 2 h 5 min. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) {
    const rest = whole % 60;
    return rest && whole < 600 ? `${Math.floor(whole / 60)} min ${rest} s` : `${Math.round(whole / 60)} min`;
  }
  const minutes = Math.round((whole % 3600) / 60);
  return minutes ? `${Math.floor(whole / 3600)} h ${minutes} min` : `${Math.floor(whole / 3600)} h`;
}

/** Estimated time remaining, rounded to a precision that the estimate supports. */
export function roughly(seconds: number): string {
  if (seconds < 10) return said().fewSeconds;
  return `${said().about} ${duration(seconds < 60 ? Math.ceil(seconds / 10) * 10 : Math.ceil(seconds / 60) * 60)}`;
}

function days(value: number): string {
  const unit = { style: "unit", unit: "day", unitDisplay: "long" } as const;
  const text = new Intl.NumberFormat(currentLanguage(), unit).format(value);
  return currentLanguage() === "de" && value !== 1 ? `${text}n` : text; // German "vor" requires the dative case.
}

export function ago(iso: string, now: number = Date.now()): string {
  const passed = now - Date.parse(iso);
  if (passed < 45 * SECOND) return said().justNow;
  if (passed < HOUR) return said().ago(`${Math.round(passed / MINUTE)} min`);
  if (passed < DAY) return said().ago(`${Math.round(passed / HOUR)} h`);
  if (passed < 14 * DAY) return said().ago(days(Math.round(passed / DAY)));
  return new Date(iso).toLocaleDateString(currentLanguage(), {
    year: "numeric",
    month: "short",
    day: "numeric",
  });
}

/** A date and time in the page's language, such as Nov 22, 2026, 2:05 PM; `precise` adds the seconds. */
export function moment(iso: string, { precise = false }: { precise?: boolean } = {}): string {
  const timeStyle = precise ? "medium" : "short";
  return new Date(iso).toLocaleString(currentLanguage(), { dateStyle: "medium", timeStyle });
}

/** The time of day in the page's language, such as 02:05 PM. */
export function timeOfDay(at: number): string {
  return new Date(at).toLocaleTimeString(currentLanguage(), { hour: "2-digit", minute: "2-digit" });
}

export function bytes(size: number): string {
  if (size < 1_000) return `${size} B`;
  if (size < 1_000_000) return `${(size / 1_000).toFixed(1)} kB`;
  if (size < 1_000_000_000) return `${(size / 1_000_000).toFixed(1)} MB`;
  return `${(size / 1_000_000_000).toFixed(1)} GB`;
}

/** Converts an identifier to words: `rejection_sampling` becomes "Rejection sampling". */
export function words(identifier: string): string {
  const spaced = identifier.replaceAll(/[_/]+/g, " ").trim();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}
