import type { Options } from "react-markdown";
import rehypeHighlight from "rehype-highlight";
import rehypeKatex from "rehype-katex";
import remarkMath from "remark-math";

/** A formula past these bounds is an attack or a mistake; KaTeX then prints its source. */
const MAX_MACRO_EXPANSIONS = 100;
const MAX_SIZE_EM = 10;

export const plugins: {
  remark: NonNullable<Options["remarkPlugins"]>;
  rehype: NonNullable<Options["rehypePlugins"]>;
} = {
  // One dollar sign is money far more often than mathematics.
  remark: [[remarkMath, { singleDollarTextMath: false }]],
  rehype: [
    [
      rehypeKatex,
      // MathML is drawn by the browser: no stylesheet, no fonts, and readable aloud.
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
