import type { AnswerForm } from "@/api/types";
import type { ViewCommands } from "../layout/useView";
import type { DeskAction } from "../state/deskState";
import type { en } from "../texts/keys.en";

export type ShortcutName = keyof typeof en.does;

/** The type of answer: a full ranking, a ranking of the best few, or a position on the scale for a pair. */
export type Mode = "order" | "best" | "pair";

/** The desk's commands. Keys and buttons call the same commands. */
export type DeskCommands = {
  readonly focus: string;
  dispatch: (action: DeskAction) => void;
  submit: () => void;
  skip: () => void;
  takeBack: () => void;
  report: () => void;
  rewrite: () => void;
  pause: () => void;
  toggleRaw: () => void;
  toggleGuidelines: () => void;
  toggleHelp: () => void;
  view: ViewCommands;
};

export type KeyStroke = Pick<KeyboardEvent, "key" | "code" | "altKey" | "ctrlKey" | "metaKey" | "shiftKey">;

/** Keys that are pressed together. "…" between two keys stands for all keys between those two. */
export type Chord = readonly string[];

export type Shortcut = {
  /** Also serves as the key of the shortcut's description in the text catalogue. */
  readonly name: ShortcutName;
  readonly group: keyof typeof en.groups;
  /** The keys as shown in the shortcut overview and on buttons. */
  readonly keys: readonly Chord[];
  /** The modes in which the shortcut works; all by default. */
  readonly modes?: readonly Mode[];
  /** The forms for which the shortcut works; all by default. */
  readonly asked?: (form: AnswerForm) => boolean;
  readonly test: (stroke: KeyStroke) => boolean;
  readonly perform: (desk: DeskCommands, stroke: KeyStroke) => void;
};

const LAST_SLOT = 10;

const plain = (stroke: KeyStroke) => !stroke.altKey && !stroke.ctrlKey && !stroke.metaKey;
const letter = (wanted: string) => (stroke: KeyStroke) =>
  plain(stroke) && !stroke.shiftKey && stroke.key.toLowerCase() === wanted;

/**
 * The slot of a digit key, where 0 means slot 10. Keys are identified by their position on the keyboard,
 * because some layouts need Shift for digits. If Shift and a digit key together type "=" or "?", the shortcut
 * for that character takes precedence.
 */
function slotOfStroke(stroke: KeyStroke): number | null {
  if (!plain(stroke) || stroke.key === "=" || stroke.key === "?") return null;
  const digit = /^(?:Digit|Numpad)(\d)$/.exec(stroke.code)?.[1];
  if (digit === undefined) return null;
  return digit === "0" ? LAST_SLOT : Number(digit);
}

/** The digit key for a slot; null if there is none. */
export function digitOfSlot(slot: number): string | null {
  if (slot === LAST_SLOT) return "0";
  return slot < LAST_SLOT ? String(slot) : null;
}

const LISTS: readonly Mode[] = ["order", "best"];

export const SHORTCUTS: readonly Shortcut[] = [
  {
    name: "pick",
    group: "order",
    modes: ["pair"],
    keys: [["1"], ["…"], ["9"]],
    test: (stroke) => !stroke.shiftKey && slotOfStroke(stroke) !== null,
    perform: (desk, stroke) => desk.dispatch({ type: "pick", position: slotOfStroke(stroke) ?? 1 }),
  },
  {
    name: "pickLeft",
    group: "order",
    modes: ["pair"],
    keys: [["←"]],
    test: (stroke) => plain(stroke) && stroke.key === "ArrowLeft",
    perform: (desk) => desk.dispatch({ type: "pickBy", by: -1 }),
  },
  {
    name: "pickRight",
    group: "order",
    modes: ["pair"],
    keys: [["→"]],
    test: (stroke) => plain(stroke) && stroke.key === "ArrowRight",
    perform: (desk) => desk.dispatch({ type: "pickBy", by: 1 }),
  },
  {
    name: "unrank",
    group: "order",
    modes: ["best"],
    keys: [["x"]],
    test: letter("x"),
    perform: (desk) => desk.dispatch({ type: "unrank", id: desk.focus }),
  },
  {
    name: "place",
    group: "order",
    modes: LISTS,
    keys: [["1"], ["…"], ["9"], ["0"]],
    test: (stroke) => !stroke.shiftKey && slotOfStroke(stroke) !== null,
    perform: (desk, stroke) =>
      desk.dispatch({ type: "place", id: desk.focus, slot: slotOfStroke(stroke) ?? 1 }),
  },
  {
    name: "moveUp",
    group: "order",
    modes: LISTS,
    keys: [["Alt", "↑"]],
    test: (stroke) => stroke.altKey && !stroke.ctrlKey && !stroke.metaKey && stroke.key === "ArrowUp",
    perform: (desk) => desk.dispatch({ type: "move", id: desk.focus, by: -1 }),
  },
  {
    name: "moveDown",
    group: "order",
    modes: LISTS,
    keys: [["Alt", "↓"]],
    test: (stroke) => stroke.altKey && !stroke.ctrlKey && !stroke.metaKey && stroke.key === "ArrowDown",
    perform: (desk) => desk.dispatch({ type: "move", id: desk.focus, by: 1 }),
  },
  {
    name: "tie",
    group: "order",
    modes: LISTS,
    keys: [["="]],
    asked: ({ ties }) => ties,
    test: (stroke) => plain(stroke) && stroke.key === "=",
    perform: (desk) => desk.dispatch({ type: "tie", id: desk.focus }),
  },
  {
    name: "join",
    group: "order",
    modes: LISTS,
    keys: [["Shift", "1"], ["…"]],
    asked: ({ ties }) => ties,
    test: (stroke) => stroke.shiftKey && slotOfStroke(stroke) !== null,
    perform: (desk, stroke) =>
      desk.dispatch({ type: "join", id: desk.focus, slot: slotOfStroke(stroke) ?? 1 }),
  },
  {
    name: "undo",
    group: "order",
    modes: LISTS,
    keys: [["u"]],
    test: (stroke) =>
      letter("u")(stroke) ||
      ((stroke.ctrlKey || stroke.metaKey) && !stroke.altKey && stroke.key.toLowerCase() === "z"),
    perform: (desk) => desk.dispatch({ type: "undo" }),
  },
  {
    name: "next",
    group: "focus",
    keys: [["↓"], ["j"]],
    test: (stroke) => letter("j")(stroke) || (plain(stroke) && stroke.key === "ArrowDown"),
    perform: (desk) => desk.dispatch({ type: "focusBy", by: 1 }),
  },
  {
    name: "previous",
    group: "focus",
    keys: [["↑"], ["k"]],
    test: (stroke) => letter("k")(stroke) || (plain(stroke) && stroke.key === "ArrowUp"),
    perform: (desk) => desk.dispatch({ type: "focusBy", by: -1 }),
  },
  {
    name: "nextAcross",
    group: "focus",
    modes: LISTS,
    keys: [["→"]],
    test: (stroke) => plain(stroke) && stroke.key === "ArrowRight",
    perform: (desk) => desk.dispatch({ type: "focusBy", by: 1 }),
  },
  {
    name: "previousAcross",
    group: "focus",
    modes: LISTS,
    keys: [["←"]],
    test: (stroke) => plain(stroke) && stroke.key === "ArrowLeft",
    perform: (desk) => desk.dispatch({ type: "focusBy", by: -1 }),
  },
  {
    name: "first",
    group: "focus",
    keys: [["Home"]],
    test: (stroke) => plain(stroke) && stroke.key === "Home",
    perform: (desk) => desk.dispatch({ type: "focusEdge", edge: "first" }),
  },
  {
    name: "last",
    group: "focus",
    keys: [["End"]],
    test: (stroke) => plain(stroke) && stroke.key === "End",
    perform: (desk) => desk.dispatch({ type: "focusEdge", edge: "last" }),
  },
  {
    name: "submit",
    group: "answer",
    keys: [["Enter"]],
    test: (stroke) => !stroke.altKey && !stroke.shiftKey && stroke.key === "Enter",
    perform: (desk) => desk.submit(),
  },
  {
    name: "skip",
    group: "answer",
    keys: [["s"]],
    test: letter("s"),
    perform: (desk) => desk.skip(),
  },
  {
    name: "rewrite",
    group: "answer",
    keys: [["w"]],
    asked: ({ rewrite }) => rewrite !== null,
    test: letter("w"),
    perform: (desk) => desk.rewrite(),
  },
  {
    name: "takeBack",
    group: "answer",
    keys: [["t"]],
    test: letter("t"),
    perform: (desk) => desk.takeBack(),
  },
  {
    name: "report",
    group: "answer",
    keys: [["i"]],
    test: letter("i"),
    perform: (desk) => desk.report(),
  },
  {
    name: "pause",
    group: "answer",
    keys: [["p"]],
    test: letter("p"),
    perform: (desk) => desk.pause(),
  },
  {
    name: "raw",
    group: "view",
    keys: [["r"]],
    test: letter("r"),
    perform: (desk) => desk.toggleRaw(),
  },
  {
    name: "layout",
    group: "view",
    keys: [["v"]],
    test: letter("v"),
    perform: (desk) => desk.view.nextLayout(),
  },
  {
    name: "compare",
    group: "view",
    keys: [["d"]],
    test: letter("d"),
    perform: (desk) => desk.view.toggleCompare(),
  },
  {
    name: "hold",
    group: "view",
    modes: LISTS,
    keys: [["h"]],
    test: letter("h"),
    perform: (desk) => desk.view.hold(desk.focus),
  },
  {
    name: "together",
    group: "view",
    keys: [["y"]],
    test: letter("y"),
    perform: (desk) => desk.view.toggleTogether(),
  },
  {
    name: "guidelines",
    group: "view",
    keys: [["g"]],
    test: letter("g"),
    perform: (desk) => desk.toggleGuidelines(),
  },
  {
    name: "help",
    group: "view",
    keys: [["?"]],
    test: (stroke) => plain(stroke) && stroke.key === "?",
    perform: (desk) => desk.toggleHelp(),
  },
];

export function shortcutsFor(mode: Mode): readonly Shortcut[] {
  return SHORTCUTS.filter(({ modes }) => !modes || modes.includes(mode));
}

/** The shortcut that matches a keystroke. Null if no shortcut matches or if several shortcuts match. */
export function matchShortcut(stroke: KeyStroke, mode: Mode): Shortcut | null {
  const matches = shortcutsFor(mode).filter((shortcut) => shortcut.test(stroke));
  if (matches.length > 1) {
    console.warn(`Ambiguous key ${stroke.key}: ${matches.map((shortcut) => shortcut.name).join(", ")}`);
    return null;
  }
  return matches[0] ?? null;
}

export function keysOf(name: ShortcutName): Chord[] {
  return [...(SHORTCUTS.find((candidate) => candidate.name === name)?.keys ?? [])];
}

/** The keys of a command in brackets, such as " (Alt ↑)", for the title of the command's button. */
export function keyHint(name: ShortcutName): string {
  return ` (${keysOf(name)
    .map((chord) => chord.join(" "))
    .join(" or ")})`;
}

const TEXT_FIELD =
  "textarea, select, [contenteditable='true'], input:not([type=radio], [type=checkbox], [type=button])";

/**
 * Whether the focused element itself needs this key. Text fields need every key except the submit shortcut,
 * buttons and links need Enter, and radio buttons need the arrow keys.
 */
export function belongsToControl(stroke: KeyStroke, target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest(TEXT_FIELD)) {
    const sends = stroke.key === "Enter" && (stroke.ctrlKey || stroke.metaKey);
    return !sends;
  }
  if (stroke.key === "Enter" && !stroke.ctrlKey && !stroke.metaKey) {
    return target.closest("button, a, summary, [role=button], [role=menuitem]") !== null;
  }
  if (stroke.key.startsWith("Arrow") && !stroke.altKey) return target.matches("input[type=radio]");
  return false;
}
