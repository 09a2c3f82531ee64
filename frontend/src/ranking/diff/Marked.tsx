import { memo } from "react";
import { Breakable } from "@/shared/markdown/Markdown";
import markdown from "@/shared/markdown/markdown.module.css";
import styles from "./marked.module.css";
import type { Mark } from "./useComparison";

/**
 * The text as the model wrote it. Words that occur only in the upper response are struck through. Words that
 * occur only in the lower response are underlined.
 */
export const Marked = memo(function Marked({ pieces, tag: Tag }: Mark) {
  return (
    <div className={`${markdown.plain} ${styles.marked}`} dir="auto">
      {pieces.map(({ at, text, marked }) =>
        marked ? (
          <Tag key={at}>
            <Breakable text={text} />
          </Tag>
        ) : (
          <Breakable key={at} text={text} />
        ),
      )}
    </div>
  );
});
