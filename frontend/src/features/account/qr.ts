/**
 * The path of the QR code, extracted from the server's SVG. The SVG itself is not used, because the
 * Content-Security-Policy allows no `data:` images, and foreign markup is never inserted into the page.
 */
export function qrPath(svg: string): { viewBox: string; d: string } | null {
  const root = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  const d = root.querySelector("path")?.getAttribute("d");
  const viewBox = root.getAttribute("viewBox");
  return d && viewBox ? { d, viewBox } : null;
}
