/** Which runs are compared: their ids are part of the address, so that a selection can be sent to somebody. */

/** As many as there are lines that can be distinguished without colour. */
export const MAX_COMPARED = 6;

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The distinct ids in an address. Anything that is not an id (a cut or edited address) is left out. */
export function picked(text: string | undefined): string[] {
  const ids = (text ?? "").split(",").filter((id) => ID.test(id));
  return [...new Set(ids)].slice(0, MAX_COMPARED);
}

export function toggled(ids: readonly string[], id: string): string[] {
  return ids.includes(id) ? ids.filter((other) => other !== id) : [...ids, id].slice(0, MAX_COMPARED);
}
