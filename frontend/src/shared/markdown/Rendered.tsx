import { type ReactNode, useEffect, useState } from "react";
import ReactMarkdown, { type Components, type Options } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { usePartTexts } from "../texts/parts";
import styles from "./markdown.module.css";

type Plugins = {
  remark: NonNullable<Options["remarkPlugins"]>;
  rehype: NonNullable<Options["rehypePlugins"]>;
};

const schema = {
  ...defaultSchema,
  // Images are never loaded. A third party that serves an image could otherwise find out when a text is read, and
  // by whom.
  attributes: {
    ...defaultSchema.attributes,
    code: [["className", /^language-./, "math-inline", "math-display"] as [string, ...(string | RegExp)[]]],
  },
};

type MarkdownNode = { type: string; value?: string; children?: MarkdownNode[] };

const HOLDS_TEXT = new Set(["paragraph", "heading", "emphasis", "strong", "delete", "link", "tableCell"]);

/**
 * HTML in a response is shown literally. Sanitising alone would remove the HTML and sometimes adjacent text.
 * The annotator would then judge a text that differs from the model's response.
 */
function literalHtml() {
  return function toText(node: MarkdownNode): void {
    if (!node.children) return;
    node.children = node.children.map((child) => {
      if (child.type !== "html") {
        toText(child);
        return child;
      }
      const text = { type: "text", value: child.value ?? "" };
      return HOLDS_TEXT.has(node.type) ? text : { type: "paragraph", children: [text] };
    });
  };
}

function heading(className: string | undefined) {
  return ({ children, dir }: { children?: ReactNode; dir?: string | undefined }) => (
    <p className={className} dir={dir}>
      {children}
    </p>
  );
}

type HtmlNode = {
  type: string;
  tagName?: string;
  properties?: Record<string, unknown>;
  children?: HtmlNode[];
};

const RUNS_LEFT_TO_RIGHT = new Set(["code", "pre", "math"]);

/**
 * Sets the text direction of each block, because one answer can contain an English and an Arabic paragraph.
 * The direction of a block is determined by the first of its letters that has a direction. Only the outermost
 * blocks get `dir="auto"`. When the browser determines a list's direction, it skips descendants that have
 * their own `dir`. The style sheet sets the direction of nested blocks. Code and formulas always run left to
 * right. Their letters do not affect the direction of the surrounding block.
 */
export function directions() {
  function mark(node: HtmlNode, outermost: boolean): void {
    if (node.type !== "element" && node.type !== "root") return;
    if (RUNS_LEFT_TO_RIGHT.has(node.tagName ?? "")) node.properties = { ...node.properties, dir: "ltr" };
    else if (outermost && node.type === "element") node.properties = { ...node.properties, dir: "auto" };
    for (const child of node.children ?? []) mark(child, node.type === "root");
  }
  return (tree: HtmlNode) => mark(tree, false);
}

function NotLoaded({ alt, src }: { alt: string; src: string | undefined }) {
  return (
    <span className={styles.image} title={src}>
      {usePartTexts().notLoaded(alt)}
    </span>
  );
}

const components: Components = {
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={href}>
      {children}
    </a>
  ),
  img: ({ alt, src }) => <NotLoaded alt={alt ?? ""} src={typeof src === "string" ? src : undefined} />,
  table: ({ children, dir }) => (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls, and must be reachable by keyboard
    <section className={styles.tableScroll} tabIndex={0}>
      <table dir={dir}>{children}</table>
    </section>
  ),
  // The headings of a response must not become part of the page outline.
  h1: heading(styles.h1),
  h2: heading(styles.h2),
  h3: heading(styles.h3),
  h4: heading(styles.h3),
  h5: heading(styles.h3),
  h6: heading(styles.h3),
};

const HAS_MATH = /\$\$|\\\(|\\\[/;
const HAS_CODE = /```|~~~/;

let rich: Plugins | undefined;

function loadRich(): Promise<Plugins | undefined> {
  return import("./rich").then(
    (module) => {
      rich = module.plugins;
      return rich;
    },
    () => undefined, // Without a connection, code is not highlighted, and formulas are not rendered.
  );
}

/**
 * Loads the plugins for mathematics and highlighting on demand, because they are three times as large as the
 * rest of the renderer and most responses contain neither formulas nor code.
 */
function useRichPlugins(wanted: boolean): Plugins | undefined {
  const [loaded, setLoaded] = useState(rich);
  useEffect(() => {
    if (!wanted || rich) return;
    let alive = true;
    void loadRich().then((plugins) => alive && setLoaded(plugins));
    return () => {
      alive = false;
    };
  }, [wanted]);
  return wanted ? loaded : undefined;
}

/**
 * Models write formulas as `\(…\)` or `\[…\]`. This function converts them to the dollar form that the parser
 * supports. Code is not changed.
 */
export function withDollarMath(text: string): string {
  if (!text.includes("\\(") && !text.includes("\\[")) return text;
  return text
    .split(/(```[\s\S]*?(?:```|$)|~~~[\s\S]*?(?:~~~|$)|`[^`\n]*`)/)
    .map((part, index) =>
      index % 2 === 1
        ? part
        : part
            .replaceAll(/\\\[([\s\S]+?)\\\]/g, (_all, body: string) => `\n$$\n${body.trim()}\n$$\n`)
            .replaceAll(/\\\((.+?)\\\)/g, (_all, body: string) => `$$${body}$$`),
    )
    .join("");
}

const isRich = (text: string) => HAS_MATH.test(text) || HAS_CODE.test(text);

/** Maximum number of cached texts: enough for two tasks with ten responses and a conversation each. */
const MOST_KEPT = 48;

/**
 * A cache of rendered texts, oldest first. Without the cache, showing ten long responses again would take
 * about twice as long, because parsing them takes as long as rendering the result.
 */
const kept = new Map<string, ReactNode>();

export function rendered(text: string, plugins?: Plugins): ReactNode {
  const name = `${plugins ? "rich" : "plain"} ${text}`;
  const element = kept.get(name) ?? parsed(text, plugins);
  kept.delete(name);
  kept.set(name, element);
  for (const oldest of kept.keys()) {
    if (kept.size <= MOST_KEPT) break;
    kept.delete(oldest);
  }
  return element;
}

// The component is called as a function instead of being mounted, because it has no state and its result is
// cached.
const parsed = (text: string, plugins: Plugins | undefined) =>
  ReactMarkdown({
    remarkPlugins: [remarkGfm, literalHtml, ...(plugins?.remark ?? [])],
    // The untrusted content is sanitised first. Only plugins that generate our own markup run afterwards.
    rehypePlugins: [[rehypeSanitize, schema], ...(plugins?.rehype ?? []), directions],
    components,
    children: withDollarMath(text),
  });

/** Renders `text` into the cache before it is needed. */
export async function prepare(text: string): Promise<void> {
  const plugins = isRich(text) ? (rich ?? (await loadRich())) : undefined;
  try {
    rendered(text, plugins);
  } catch {
    // The text is nested so deeply that the parser's stack overflows. Such a text is shown as plain text.
  }
}

export default function Rendered({ text }: { text: string }) {
  const plugins = useRichPlugins(isRich(text));
  return <div className={styles.markdown}>{rendered(text, plugins)}</div>;
}
