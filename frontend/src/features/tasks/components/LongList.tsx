import { Button } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Loading, Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import styles from "./tasks.module.css";

/** All rows have the same height. On a phone, the cells of a row are arranged in three lines. */
const ROW_PX = { wide: 52, narrow: 92 };

/**
 * Number of rows rendered beyond each edge of the screen, so that fast scrolling does not show the
 * background.
 */
const OVERSCAN = 12;

/**
 * Rows are added and removed in blocks of `STEP` rows. Each change to the document causes one layout, no
 * matter how many rows the change affects.
 */
const STEP = 8;

/** The next page is fetched when fewer than `ROWS_AHEAD` loaded rows remain below the last rendered row. */
const ROWS_AHEAD = 100;

/** Renders a row at its position in the list. The key of the returned element must identify the row. */
type RenderRow<Row> = (row: Row, place: { index: number; top: number; height: number }) => ReactNode;

/**
 * A list of any length that scrolls with the page. The document contains only the rows on the screen and a
 * few rows around them. The next page of rows is fetched before the user reaches the end.
 */
export function LongList<Row>({
  label,
  columns,
  rows,
  render,
  hasMore,
  isFetching,
  onMore,
  onLookAgain,
}: {
  label: string;
  columns: readonly string[];
  rows: readonly Row[];
  render: RenderRow<Row>;
  hasMore: boolean;
  isFetching: boolean;
  onMore: () => void;
  onLookAgain: () => void;
}) {
  const texts = useTexts().list;
  return (
    <Panel
      title={label.split(",")[0] ?? label}
      flush
      aside={
        <span className={styles.count}>
          <span className={ui.dim} role="status">
            {texts.loaded(rows.length, !hasMore)}
          </span>
          <Button size="compact-xs" variant="default" loading={isFetching} onClick={onLookAgain}>
            {texts.look}
          </Button>
        </span>
      }
    >
      {/* biome-ignore lint/a11y/useSemanticElements: only the rows near the screen are in the document, each at its own position; <table> rows can't be positioned */}
      <div
        role="table"
        aria-label={label}
        aria-rowcount={hasMore ? -1 : rows.length + 1}
        className={styles.table}
      >
        {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
        <div role="rowgroup" className={styles.head}>
          {/* biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned */}
          <div role="row" className={styles.row} aria-rowindex={1} tabIndex={-1}>
            {columns.map((column) => (
              // biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned
              <span role="columnheader" key={column} tabIndex={-1}>
                {column}
              </span>
            ))}
          </div>
        </div>
        <Rows rows={rows} render={render} wantsMore={hasMore && !isFetching} onMore={onMore} />
      </div>
      {isFetching && rows.length > 0 && <Loading label={texts.loading} />}
    </Panel>
  );
}

/** The visible rows and their neighbours. While the page scrolls, only this component renders again. */
function Rows<Row>({
  rows,
  render,
  wantsMore,
  onMore,
}: {
  rows: readonly Row[];
  render: RenderRow<Row>;
  wantsMore: boolean;
  onMore: () => void;
}) {
  const body = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery("(max-width: 760px)") ?? false;
  const height = narrow ? ROW_PX.narrow : ROW_PX.wide;
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => height,
    overscan: OVERSCAN,
    scrollMargin: useTop(body),
    // Synchronous rendering is disabled, because rendering within each scroll event would delay scrolling.
    useFlushSync: false,
  });
  // The virtualizer keeps its initial sizes until `measure` is called.
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new height requires a new measurement
  useLayoutEffect(() => virtualizer.measure(), [virtualizer, height]);
  const shown = virtualizer.getVirtualItems();
  const first = Math.floor((shown[0]?.index ?? 0) / STEP) * STEP;
  const end = Math.ceil(((shown.at(-1)?.index ?? -1) + 1) / STEP) * STEP;
  const drawn = useMemo(
    () =>
      rows.slice(first, end).map((row, place) => {
        const index = first + place;
        return render(row, { index, top: index * height, height });
      }),
    [rows, render, first, end, height],
  );
  const nearEnd = end > rows.length - ROWS_AHEAD;
  useEffect(() => {
    if (wantsMore && nearEnd) onMore();
  }, [wantsMore, nearEnd, onMore]);
  return (
    // biome-ignore lint/a11y/useSemanticElements: the rows of a <table> cannot be positioned
    <div role="rowgroup" ref={body} className={styles.body} style={{ height: rows.length * height }}>
      {drawn}
    </div>
  );
}

/**
 * Distance of an element from the top of the page. The distance is measured on each render, because the
 * content above the element can grow.
 */
function useTop(element: RefObject<HTMLElement | null>): number {
  const [top, setTop] = useState(0);
  useLayoutEffect(() => {
    const box = element.current?.getBoundingClientRect();
    if (box) setTop(Math.round(box.top + window.scrollY));
  });
  return top;
}
