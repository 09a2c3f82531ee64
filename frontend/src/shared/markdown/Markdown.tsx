import { Component, lazy, memo, type ReactNode, Suspense } from "react";
import { usePartTexts } from "../texts/parts";
import type { en } from "../texts/parts.en";
import styles from "./markdown.module.css";

/** The renderer is a separate chunk, so that the page is shown before the renderer has loaded. */
export const loadRendered = () => import("./Rendered");
const Rendered = lazy(loadRendered);

/**
 * Maximum length of a rendered text, in characters. Longer texts are shown in full as plain text, because
 * parsing takes quadratic time for some texts (30,000 characters of `~~a` took 2.6 s).
 */
export const MAX_MARKDOWN_CHARS = 20_000;

/**
 * Matches quotes and lists that are nested too deeply to be readable. With 2,000 nested quotes, every move of a
 * card took 5 s of layout, and the page was 27,000 pixels wide.
 */
const ABSURDLY_NESTED = /^(?:[ \t]*(?:>|[*+-][ \t]|\d{1,9}[.)][ \t])){24}|^[ \t]{120,}\S/m;

/**
 * Matches words so long that they must be machine-generated. When a word of 50,000 letters could break at
 * arbitrary positions, each move of its card took 4.5 s of layout. With break opportunities, layout takes no
 * measurable time. Text in scripts without spaces needs no break opportunities, because it can break between
 * any two letters.
 */
const ENDLESS_WORD = /[!-~\u00a1-\u024f]{1000,}/;
const WORD_PIECE = /[!-~\u00a1-\u024f]{60}/g;

/**
 * The text with a line break opportunity after every 60 letters of an extremely long word. Copied text does
 * not contain the break opportunities.
 */
export function Breakable({ text }: { text: string }) {
  if (!ENDLESS_WORD.test(text)) return text;
  const pieces: ReactNode[] = [];
  let at = 0;
  for (const { index, 0: piece } of text.matchAll(WORD_PIECE)) {
    const end = index + piece.length;
    pieces.push(text.slice(at, end), <wbr key={end} />);
    at = end;
  }
  return [...pieces, text.slice(at)];
}

type Note = keyof typeof en.plain | "empty";

/** The reason why a text is not rendered. */
function Said({ note }: { note: Note }) {
  const texts = usePartTexts();
  return <p className={styles.note}>{note === "empty" ? texts.empty : texts.plain[note]}</p>;
}

function PlainText({ text, note }: { text: string; note?: Note }) {
  return (
    <>
      {note && <Said note={note} />}
      <div className={styles.plain} dir="auto">
        <Breakable text={text} />
      </div>
    </>
  );
}

/** If nesting overflows the parser's stack, only the formatting is lost, and the page keeps working. */
class FallBackToPlain extends Component<{ text: string; children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return <PlainText text={this.props.text} note="unreadable" />;
  }
}

/** The reason why a text is shown as plain text; null if it is rendered. */
export function whyPlain(text: string): Note | null {
  if (text.trim() === "") return "empty";
  if (text.length > MAX_MARKDOWN_CHARS) return "long";
  if (ENDLESS_WORD.test(text)) return "endless";
  return ABSURDLY_NESTED.test(text) ? "nested" : null;
}

/**
 * Renders untrusted text. Markdown is sanitised and then converted to React elements. The result contains no raw
 * HTML and no scripts, and loads nothing from other sites. The plain text is shown until the renderer has loaded.
 */
export const Markdown = memo(function Markdown({ text, raw = false }: { text: string; raw?: boolean }) {
  if (raw) {
    return (
      <div className={`${styles.plain} ${styles.raw}`} dir="auto">
        <Breakable text={text} />
      </div>
    );
  }
  const note = whyPlain(text);
  if (note === "empty") return <Said note={note} />;
  if (note) return <PlainText text={text} note={note} />;
  return (
    <FallBackToPlain key={text} text={text}>
      <Suspense fallback={<PlainText text={text} />}>
        <Rendered text={text} />
      </Suspense>
    </FallBackToPlain>
  );
});
