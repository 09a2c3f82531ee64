/** The `cursor` in the `next` URL of a page; undefined on the last page. */
export function cursorOf(next: string | null | undefined): string | undefined {
  if (!next) return undefined;
  return new URL(next, "http://page/").searchParams.get("cursor") ?? undefined;
}
