import type { Options } from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";

/** Limits for formulas. A formula that exceeds a limit is an attack or a mistake; KaTeX then shows its source. */
const MAX_MACRO_EXPANSIONS = 100;
const MAX_SIZE_EM = 10;

export const plugins: {
  remark: NonNullable<Options["remarkPlugins"]>;
  rehype: NonNullable<Options["rehypePlugins"]>;
} = {
  // A single dollar sign means money far more often than mathematics.
  remark: [[remarkMath, { singleDollarTextMath: false }]],
  rehype: [
    [
      rehypeKatex,
      // The browser renders MathML, so neither a style sheet nor fonts are needed, and screen readers can
      // read formulas.
      {
        output: "mathml",
        trust: false,
        maxExpand: MAX_MACRO_EXPANSIONS,
        maxSize: MAX_SIZE_EM,
        strict: false,
      },
    ],
    [rehypeHighlight, { detect: false }],
  ],
};
