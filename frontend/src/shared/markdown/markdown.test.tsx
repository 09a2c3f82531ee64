import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_MARKDOWN_CHARS, Markdown } from "./Markdown";
import Rendered, { prepare, rendered, withDollarMath } from "./Rendered";

afterEach(cleanup);

const html = (text: string) => render(<Rendered text={text} />).container;

describe("untrusted Markdown", () => {
  it("does not run scripts and removes event handlers", () => {
    const shown = html(
      '<script>alert(1)</script><b onclick="alert(1)">bold</b><iframe src="https://x.test"></iframe>',
    );
    expect(shown.querySelector("script, iframe, [onclick]")).toBeNull();
  });

  it.each([
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
  ])("creates no link to %s", (target) => {
    const link = html(`[click](${target})`).querySelector("a");
    expect(link?.getAttribute("href") ?? "").toBe("");
  });

  it("shows a placeholder instead of loading the image", () => {
    const shown = html("![pixel](https://evil.test/p.png) <img src=x onerror=alert(1)>");
    expect(shown.querySelector("img, picture, source")).toBeNull();
    expect(shown.textContent).toContain("Image not loaded: pixel");
  });

  it("opens links in a new tab without a referrer", () => {
    const link = html("see https://example.com").querySelector("a");
    expect(link?.rel).toBe("noopener noreferrer nofollow");
    expect(link?.target).toBe("_blank");
  });

  it("removes styles and IDs that could affect the page", () => {
    const shown = html('<div style="position:fixed;inset:0" id="root" class="x">cover</div>');
    expect(shown.querySelector("[style], #root, .x")).toBeNull();
  });

  it.each([
    "<script>alert(1)</script> one",
    "before <b>bold</b> after",
    "<style>* { display: none }</style>",
    "- item <i>x</i>",
  ])("shows HTML literally: %s", (text) => {
    expect(html(text).textContent?.trim()).toBe(text.replace("- ", ""));
  });

  it("does not add headings to the page outline", () => {
    expect(html("# Loud\n\ntext").querySelector("h1, h2, h3, h4, h5, h6")).toBeNull();
  });

  it("shows tables, lists and code", () => {
    const shown = html("| a | b |\n|---|---|\n| 1 | 2 |\n\n- one\n\n```py\nx = 1\n```");
    expect(shown.querySelectorAll("td")).toHaveLength(2);
    expect(shown.querySelector("li")?.textContent).toBe("one");
    expect(shown.querySelector("pre code")?.textContent).toContain("x = 1");
  });

  it("sets the text direction of each block, which is always left to right for code", () => {
    const shown = html(
      "English first.\n\nثم بالعربية\n\n- `npm i` שלום\n\n> ציטוט\n\n# כותרת\n\n```\nx = 1\n```\n\n| א |\n|---|\n| ב |",
    );
    const root = shown.firstElementChild;
    expect(
      [...(root?.children ?? [])].map(({ tagName, dir }: Element & { dir?: string }) => [tagName, dir]),
    ).toEqual([
      ["P", "auto"],
      ["P", "auto"],
      ["UL", "auto"],
      ["BLOCKQUOTE", "auto"],
      ["P", "auto"],
      ["PRE", "ltr"],
      ["SECTION", ""],
    ]);
    expect(shown.querySelector("table")?.getAttribute("dir")).toBe("auto");
    // If a list item had a `dir`, the browser would ignore the item's text when determining the list's
    // direction. The bullets would then be on the wrong side.
    expect(shown.querySelector("li")?.hasAttribute("dir")).toBe(false);
    expect(shown.querySelector("li code")?.getAttribute("dir")).toBe("ltr");
  });

  it("shows a very long text in full as plain text", () => {
    const text = `# ${"x ".repeat(MAX_MARKDOWN_CHARS)}end`;
    const { container } = render(<Markdown text={text} />);
    expect(container.textContent).toContain(text);
    expect(container.querySelector("p")?.textContent).toContain("very long");
  });

  it("adds break opportunities to extremely long words without changing them", () => {
    const text = `before ${"A".repeat(5_000)} after`;
    const { container } = render(<Markdown text={text} />);
    expect(container.querySelectorAll("wbr").length).toBeGreaterThan(50);
    expect(container.textContent).toContain(text);
    const spaceless = "這是一個沒有空格的長句子。".repeat(200);
    expect(render(<Markdown text={spaceless} />).container.querySelector("wbr")).toBeNull();
  });

  it("shows text that is nested too deeply as plain text", () => {
    for (const text of [
      `${">".repeat(2_000)} deep`,
      `${"- ".repeat(300)}deep`,
      `- a\n${" ".repeat(400)}- deep`,
    ]) {
      const { container } = render(<Markdown text={text} />);
      expect(container.querySelector("blockquote, ul")).toBeNull();
      expect(container.textContent).toContain(text);
    }
  });

  it("renders a text in advance only once, and drops it from the cache after many others", async () => {
    await prepare("**next**");
    const ahead = rendered("**next**");
    expect(html("**next**").querySelector("strong")).not.toBeNull();
    expect(rendered("**next**")).toBe(ahead);
    for (let other = 0; other < 100; other++) rendered(`*${other}*`);
    expect(rendered("**next**")).not.toBe(ahead);
  });

  it("shows raw text unchanged", () => {
    render(<Markdown text="**not bold**" raw />);
    expect(screen.getByText("**not bold**")).toBeTruthy();
  });
});

describe("formulas in TeX delimiters", () => {
  it("TeX delimiters are converted to the dollar form", () => {
    expect(withDollarMath("so \\(x = 1\\)")).toBe("so $$x = 1$$");
    expect(withDollarMath("\\[ x^2 \\]")).toBe("\n$$\nx^2\n$$\n");
  });

  it("TeX delimiters in code stay unchanged, and so do single dollar signs", () => {
    expect(withDollarMath("`\\(x\\)` and ```\n\\[y\\]\n```")).toBe("`\\(x\\)` and ```\n\\[y\\]\n```");
    expect(withDollarMath("costs $5 and $10")).toBe("costs $5 and $10");
  });
});
