import { type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { belongsToControl, type DeskCommands, type Mode, matchShortcut } from "@/ranking/keys/shortcuts";
import { bringIntoView } from "@/ranking/layout/bringIntoView";
import type { Ranking } from "@/ranking/order/rankingReducer";

/**
 * Handles each key press on the desk and moves the focus to the response that the key affects. If a click
 * on a button moves the button's card in the document, the button keeps the focus, so that the user can press
 * it again.
 */
export function useDeskKeys({
  active,
  mode,
  cards,
  ranking,
  commands,
}: {
  active: boolean;
  mode: Mode;
  cards: RefObject<HTMLElement | null>;
  ranking: Ranking;
  commands: DeskCommands;
}): void {
  const latest = useRef(commands);
  latest.current = commands;
  const byKey = useRef(false);

  // This must be a layout effect, which runs before the responses are painted. With an ordinary effect, keys
  // that were pressed as soon as the responses appeared were lost.
  useLayoutEffect(() => {
    if (!active) return;
    function onKeyDown(event: KeyboardEvent) {
      if (event.defaultPrevented || event.isComposing) return;
      if (
        event.key === "Escape" &&
        event.target instanceof HTMLElement &&
        event.target.matches("textarea, input")
      ) {
        event.target.blur();
        return;
      }
      if (belongsToControl(event, event.target)) return;
      const shortcut = matchShortcut(event, mode);
      if (!shortcut) return;
      event.preventDefault();
      if (event.repeat && shortcut.group === "answer") return;
      byKey.current = true;
      shortcut.perform(latest.current, event);
    }
    window.addEventListener("keydown", onKeyDown);
    return () => window.removeEventListener("keydown", onKeyDown);
  }, [active, mode]);

  // Submitting a task or closing a dialog can leave the document without focus. The current response then receives
  // the focus, and screen readers read the response aloud.
  useLayoutEffect(() => {
    if (!active) return;
    if (document.activeElement !== document.body && document.activeElement !== null) return;
    const current = cards.current?.querySelector<HTMLElement>("[data-response-id][data-current=true]");
    current?.focus({ preventScroll: true });
  }, [cards, active]);

  const focusBefore = useRef<Element | null>(null);
  useEffect(() => {
    const remember = () => {
      focusBefore.current = document.activeElement;
    };
    document.addEventListener("focusin", remember);
    return () => document.removeEventListener("focusin", remember);
  }, []);

  const { tiers, unranked, focus } = ranking;
  const shown = useRef({ tiers, unranked, focus });
  useLayoutEffect(() => {
    const before = shown.current;
    if (before.tiers === tiers && before.unranked === unranked && before.focus === focus) return;
    shown.current = { tiers, unranked, focus };
    const card = cards.current?.querySelector<HTMLElement>(`[data-response-id="${CSS.escape(focus)}"]`);
    if (!card) return;
    const moved = before.tiers !== tiers || before.unranked !== unranked;
    // The user moved to a question in this card, and the card became the current card. The question keeps the
    // focus.
    if (!moved && card !== document.activeElement && card.contains(document.activeElement)) {
      byKey.current = false;
      return;
    }
    if (byKey.current) {
      byKey.current = false;
      card.focus({ preventScroll: true });
      bringIntoView(card);
      return;
    }
    // Moving an element in the document removes its focus. The focus is returned to the button that was pressed.
    const held = focusBefore.current;
    if (document.activeElement === document.body && held instanceof HTMLElement && card.contains(held)) {
      held.focus({ preventScroll: true });
    }
    const visible = card.getBoundingClientRect();
    if (visible.bottom < 0 || visible.top > window.innerHeight) bringIntoView(card);
  }, [tiers, unranked, focus, cards]);
}
