/** The `cursor` of a page's `next` address; undefined on the last page. */
export function cursorOf(next: string | null | undefined): string | undefined {
  if (!next) return undefined;
  return new URL(next, "http://page/").searchParams.get("cursor") ?? undefined;
}
