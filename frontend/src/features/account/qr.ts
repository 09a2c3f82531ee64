/**
 * The QR code's path, taken out of the server's SVG: the page's policy lets no `data:` image in, and markup is never inserted
 * as it came.
 */
export function qrPath(svg: string): { viewBox: string; d: string } | null {
  const root = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const d = root.querySelector("path")?.getAttribute("d");
  const viewBox = root.getAttribute("viewBox");
  return d && viewBox ? { d, viewBox } : null;
}
