/**
 * The icons of the pages, drawn on a 16-unit grid with a stroke width of 1.5. Always place an icon next to or
 * inside an element with an accessible name.
 */
const PATHS = {
  grip: "M6 4h.01M10 4h.01M6 8h.01M10 8h.01M6 12h.01M10 12h.01",
  up: "M8 13V3M4 7l4-4 4 4",
  down: "M8 3v10M4 9l4 4 4-4",
  tie: "M3.500 6h9M3.500 10h9",
  undo: "M6 3.500 3 6.500l3 3M3.500 6.500H9a4 4 0 0 1 0 8H6",
  check: "M3 8.500 6.500 12 13 4.500",
  close: "M4 4l8 8M12 4l-8 8",
  keys: "M2 4.500h12v7H2zM5 7h.01M8 7h.01M11 7h.01M5.500 9.300h5",
  sun: "M8 5.200A2.800 2.800 0 1 1 8 10.800 2.800 2.800 0 0 1 8 5.200M8 1.500v1.400M8 13.100v1.400M1.500 8h1.400M13.100 8h1.400M3.400 3.400l1 1M11.600 11.600l1 1M12.600 3.400l-1 1M4.400 11.600l-1 1",
  moon: "M13.500 9.500A5.800 5.800 0 0 1 6.500 2.500a5.800 5.800 0 1 0 7 7z",
  upload: "M8 10.500V3M5 5.800 8 2.800l3 3M3 10.500v2.700h10v-2.700",
  download: "M8 2.800v7.500M5 7.500l3 3 3-3M3 10.500v2.700h10v-2.700",
  copy: "M6 6h7v7.500H6zM10 6V2.500H3V10h3",
  raw: "M3 4h10M3 7h7M3 10h10M3 13h5",
  play: "M5 3.200v9.600L12.800 8z",
  pause: "M5.500 3.500v9M10.500 3.500v9",
  stop: "M4.500 4.500h7v7h-7z",
  book: "M3 3h4a1.500 1.500 0 0 1 1 .500A1.500 1.500 0 0 1 9 3h4v9.500H9.300L8 13.300l-1.300-.800H3zM8 3.700v9.300",
  right: "M6 3.500 10.500 8 6 12.500",
  warn: "M8 2.500 14.300 13.300H1.700zM8 6.500v3.200M8 11.600h.01",
  skip: "M4 3.500 9.500 8 4 12.500zM12 3.500v9",
  flag: "M4 14V2.800h7.800L10.200 5.700l1.600 2.900H4",
  plus: "M8 3v10M3 8h10",
  column: "M3 2.500h10v4.500H3zM3 9h10v4.500H3z",
  row: "M2 3h3v10H2zM6.500 3h3v10h-3zM11 3h3v10h-3z",
  two: "M2.500 3h5v10h-5zM8.500 3h5v10h-5z",
  together: "M4 2.500v11M2 4.500l2-2 2 2M2 11.500l2 2 2-2M12 2.500v11M10 4.500l2-2 2 2M10 11.500l2 2 2-2",
  compare: "M3 4.500h6M3 11.500h10M11 2.500v4M9 4.500h4",
  hold: "M5.500 2.500h5M6.500 2.500v4L4.500 9h7l-2-2.500v-4M8 9v4.500",
  lock: "M4 7.500h8v6H4zM5.500 7.500V5.300a2.500 2.500 0 0 1 5 0v2.200",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  const dots = name === "grip";
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill="none"
      stroke="currentColor"
      strokeWidth={dots ? 2.2 : 1.5}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
