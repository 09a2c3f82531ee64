import * as v from "valibot";

/*
 * Building blocks for the schemas of search parameters. The router receives each page's schema as
 * `validateSearch`.
 */

const withoutUndefined = <T extends object>(search: T): T =>
  Object.fromEntries(Object.entries(search).filter(([, value]) => value !== undefined)) as T;

/**
 * The schema of a page's search parameters. Anyone can edit a URL, so unknown parameters and invalid values
 * are ignored, and parsing never fails.
 */
export const searchOf = <Entries extends v.ObjectEntries>(entries: Entries) =>
  v.pipe(v.object(entries), v.transform(withoutUndefined));

/** An optional search parameter. */
export const param = <Schema extends v.GenericSchema>(schema: Schema) =>
  v.fallback(v.optional(schema), undefined);

const MAX_TEXT = 200;

/**
 * Text that is not blank, truncated to 200 characters. Numbers are accepted too, because the router parses digits in
 * a URL as a number.
 */
export const text = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.transform(String))]),
  v.check((value) => value.trim() !== ""),
  v.transform((value) => value.slice(0, MAX_TEXT)),
);

/** A whole number from 0 to `most`. */
export const whole = (most: number) =>
  v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.digits(), v.transform(Number))]),
    v.integer(),
    v.minValue(0),
    v.maxValue(most),
  );

/** A day as YYYY-MM-DD. */
export const day = v.pipe(v.string(), v.regex(/^\d{4}-\d{2}-\d{2}$/));
