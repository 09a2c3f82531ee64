import { useEffect } from "react";
import { loadRendered, whyPlain } from "./Markdown";

/**
 * Delay for browsers that do not report idle time. The delay gives the browser time to render the effect of a
 * key press before any text is rendered ahead.
 */
const SPARE_MS = 200;

function whenIdle(run: () => void): () => void {
  if (!("requestIdleCallback" in window)) {
    const timer = setTimeout(run, SPARE_MS);
    return () => clearTimeout(timer);
  }
  const request = window.requestIdleCallback(run);
  return () => window.cancelIdleCallback(request);
}

/**
 * Renders texts before they are shown, one by one in idle time. The texts then appear immediately when
 * needed.
 */
export function useRenderedAhead(texts: readonly string[]): void {
  useEffect(() => {
    const left = texts.filter((text) => whyPlain(text) === null);
    let stop = () => {};
    let alive = true;
    async function prepareNext() {
      const text = left.shift();
      if (text === undefined) return;
      // The renderer can fail to load, or the text can fail to parse. The component that shows the text
      // reports such errors.
      await loadRendered().then(
        ({ prepare }) => prepare(text),
        () => undefined,
      );
      if (alive) stop = whenIdle(() => void prepareNext());
    }
    stop = whenIdle(() => void prepareNext());
    return () => {
      alive = false;
      stop();
    };
  }, [texts]);
}
