import { flushSync } from "react-dom";

/**
 * Moves the focus to the first control of a question and scrolls the question into view. In the two-at-a-time
 * layout, the question's card may be hidden; `show` then makes the card's response current.
 */
export function focusField(
  root: HTMLElement | null,
  field: string,
  show: (responseId: string) => void,
): void {
  const part = root?.querySelector<HTMLElement>(`[data-field="${CSS.escape(field)}"]`);
  const about = part?.closest<HTMLElement>("[data-response-id]")?.dataset.responseId;
  if (about) flushSync(() => show(about));
  const control = part?.matches("input, textarea")
    ? part
    : part?.querySelector<HTMLElement>("input, textarea");
  control?.focus({ preventScroll: true });
  part?.scrollIntoView({ block: "center" });
}
