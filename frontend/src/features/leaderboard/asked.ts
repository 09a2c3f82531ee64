export const METHODS = ["bradley_terry", "davidson"] as const;
export const SLICES = ["round", "split", "metadata"] as const;

/** Which board: it stands in the page's address. */
export type BoardAsked = {
  method?: (typeof METHODS)[number];
  by?: (typeof SLICES)[number];
  key?: string;
};

export function askedFrom(search: Record<string, unknown>): BoardAsked {
  const method = METHODS.find((known) => known === search.method);
  const by = SLICES.find((known) => known === search.by);
  const key = typeof search.key === "string" && search.key.trim() !== "" ? search.key.slice(0, 200) : "";
  return { ...(method && { method }), ...(by && { by }), ...(by === "metadata" && key && { key }) };
}
