import { Button } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { type ReactNode, useEffect, useRef } from "react";
import { Loading, Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { nearTheEnd } from "../rowWindow";
import { useTexts } from "../texts";
import { useRowWindow } from "../useRowWindow";
import styles from "./tasks.module.css";

/** On a phone a row's cells stand on three lines. */
const ROW_PX = { wide: 52, narrow: 92 };

/**
 * A list of any length that scrolls with the page: only the rows on the screen and some beside it are in the document, and the
 * next page of rows is fetched before its end is reached.
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
  /** A row's cells. The element's key is the row's own. */
  render: (row: Row, place: { index: number; top: number; height: number }) => ReactNode;
  hasMore: boolean;
  isFetching: boolean;
  onMore: () => void;
  onLookAgain: () => void;
}) {
  const texts = useTexts().list;
  const body = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery("(max-width: 760px)") ?? false;
  const height = narrow ? ROW_PX.narrow : ROW_PX.wide;
  const shown = useRowWindow(body, height, rows.length);
  const wantsMore = hasMore && !isFetching && nearTheEnd(shown, rows.length);
  useEffect(() => {
    if (wantsMore) onMore();
  }, [wantsMore, onMore]);
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
      {/* biome-ignore lint/a11y/useSemanticElements: rows out of sight are not in the document, so they stand by position, which a table's can't */}
      <div
        role="table"
        aria-label={label}
        aria-rowcount={hasMore ? -1 : rows.length + 1}
        className={styles.table}
      >
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        <div role="rowgroup" className={styles.head}>
          {/* biome-ignore lint/a11y/useSemanticElements: see above */}
          <div role="row" className={styles.row} aria-rowindex={1} tabIndex={-1}>
            {columns.map((column) => (
              // biome-ignore lint/a11y/useSemanticElements: see above
              <span role="columnheader" key={column} tabIndex={-1}>
                {column}
              </span>
            ))}
          </div>
        </div>
        {/* biome-ignore lint/a11y/useSemanticElements: see above */}
        <div role="rowgroup" ref={body} className={styles.body} style={{ height: rows.length * height }}>
          {rows
            .slice(shown.first, shown.end)
            .map((row, place) =>
              render(row, { index: shown.first + place, top: (shown.first + place) * height, height }),
            )}
        </div>
      </div>
      {isFetching && rows.length > 0 && <Loading label={texts.loading} />}
    </Panel>
  );
}
