/** The runs to compare. The run IDs are part of the URL, so that a selection can be shared. */

/** Maximum number of compared runs: the number of line styles that can be distinguished without colour. */
export const MAX_COMPARED = 6;

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The distinct IDs in a URL. Values that are not IDs (in a truncated or edited URL) are ignored. */
export function picked(text: string | undefined): string[] {
  const ids = (text ?? "").split(",").filter((id) => ID.test(id));
  return [...new Set(ids)].slice(0, MAX_COMPARED);
}

export function toggled(ids: readonly string[], id: string): string[] {
  return ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id].slice(0, MAX_COMPARED);
}
