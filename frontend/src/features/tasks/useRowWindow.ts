import { type RefObject, useEffect, useState } from "react";
import { type RowWindow, rowWindow } from "./rowWindow";

/** The rows to draw of a list that scrolls with the page. Renders again only when they change. */
export function useRowWindow(
  list: RefObject<HTMLElement | null>,
  rowHeight: number,
  rows: number,
): RowWindow {
  const [shown, setShown] = useState<RowWindow>(() => rowWindow(0, window.innerHeight, rowHeight, rows));
  useEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      const top = list.current ? -list.current.getBoundingClientRect().top : 0;
      const next = rowWindow(top, window.innerHeight, rowHeight, rows);
      setShown((now) => (now.first === next.first && now.end === next.end ? now : next));
    };
    const later = () => {
      frame ||= requestAnimationFrame(look);
    };
    look();
    window.addEventListener("scroll", later, { passive: true });
    window.addEventListener("resize", later);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener("scroll", later);
      window.removeEventListener("resize", later);
    };
  }, [list, rowHeight, rows]);
  return shown;
}
