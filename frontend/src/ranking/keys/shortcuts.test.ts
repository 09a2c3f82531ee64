// @vitest-environment jsdom
import { readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { en } from "../texts/keys.en";
import {
  belongsToControl,
  type DeskCommands,
  type KeyStroke,
  type Mode,
  matchShortcut,
  SHORTCUTS,
  type Shortcut,
  shortcutsFor,
} from "./shortcuts";

function stroke(key: string, code = "", modifiers: Partial<KeyStroke> = {}): KeyStroke {
  return { key, code, altKey: false, ctrlKey: false, metaKey: false, shiftKey: false, ...modifiers };
}

function desk() {
  const commands = {
    focus: "B",
    dispatch: vi.fn(),
    submit: vi.fn(),
    skip: vi.fn(),
    takeBack: vi.fn(),
    report: vi.fn(),
    rewrite: vi.fn(),
    pause: vi.fn(),
    toggleRaw: vi.fn(),
    toggleGuidelines: vi.fn(),
    toggleHelp: vi.fn(),
    view: { nextLayout: vi.fn(), toggleTogether: vi.fn(), hold: vi.fn(), toggleCompare: vi.fn() },
  } satisfies DeskCommands;
  return commands;
}

const MODES: readonly Mode[] = ["order", "best", "pair"];

function press(pressed: KeyStroke, mode: Mode = "order") {
  const commands = desk();
  matchShortcut(pressed, mode)?.perform(commands, pressed);
  return commands;
}

describe("the keyboard", () => {
  it.each([
    [stroke("3", "Digit3"), { type: "place", id: "B", slot: 3 }],
    [stroke("0", "Digit0"), { type: "place", id: "B", slot: 10 }],
    [stroke("7", "Numpad7"), { type: "place", id: "B", slot: 7 }],
    [stroke("é", "Digit2"), { type: "place", id: "B", slot: 2 }],
    [stroke("@", "Digit2", { shiftKey: true }), { type: "join", id: "B", slot: 2 }],
    [stroke("ArrowUp", "ArrowUp", { altKey: true }), { type: "move", id: "B", by: -1 }],
    [stroke("ArrowDown", "ArrowDown", { altKey: true }), { type: "move", id: "B", by: 1 }],
    [stroke("=", "Equal"), { type: "tie", id: "B" }],
    [stroke("=", "Digit0", { shiftKey: true }), { type: "tie", id: "B" }],
    [stroke("u", "KeyU"), { type: "undo" }],
    [stroke("z", "KeyZ", { ctrlKey: true }), { type: "undo" }],
    [stroke("j", "KeyJ"), { type: "focusBy", by: 1 }],
    [stroke("ArrowUp", "ArrowUp"), { type: "focusBy", by: -1 }],
    [stroke("End", "End"), { type: "focusEdge", edge: "last" }],
  ])("%o triggers its action in a ranking", (pressed, action) => {
    expect(press(pressed).dispatch).toHaveBeenCalledExactlyOnceWith(action);
  });

  it.each([
    [stroke("3", "Digit3"), { type: "pick", position: 3 }],
    [stroke("ArrowLeft", "ArrowLeft"), { type: "pickBy", by: -1 }],
    [stroke("ArrowRight", "ArrowRight"), { type: "pickBy", by: 1 }],
    [stroke("k", "KeyK"), { type: "focusBy", by: -1 }],
  ])("%o triggers its action on the scale for a pair", (pressed, action) => {
    expect(press(pressed, "pair").dispatch).toHaveBeenCalledExactlyOnceWith(action);
  });

  it("can leave a response unranked only if the form allows it", () => {
    const pressed = stroke("x", "KeyX");
    expect(press(pressed, "best").dispatch).toHaveBeenCalledExactlyOnceWith({ type: "unrank", id: "B" });
    expect(press(pressed, "order").dispatch).not.toHaveBeenCalled();
    expect(press(pressed, "pair").dispatch).not.toHaveBeenCalled();
  });

  it("submits with Enter and shows help with ?", () => {
    expect(press(stroke("Enter", "Enter")).submit).toHaveBeenCalledOnce();
    expect(press(stroke("?", "Slash", { shiftKey: true })).toggleHelp).toHaveBeenCalledOnce();
  });

  it.each([
    ["t", "takeBack"],
    ["i", "report"],
    ["p", "pause"],
  ] as const)("the key %s triggers %s in every mode", (key, command) => {
    for (const mode of MODES)
      expect(press(stroke(key, `Key${key.toUpperCase()}`), mode)[command]).toHaveBeenCalledOnce();
  });

  it("does not override the browser's own shortcuts", () => {
    for (const pressed of [
      stroke("r", "KeyR", { ctrlKey: true }),
      stroke("1", "Digit1", { ctrlKey: true }),
      stroke("1", "Digit1", { altKey: true }),
      stroke("s", "KeyS", { metaKey: true }),
      stroke("ArrowLeft", "ArrowLeft", { altKey: true }),
    ]) {
      for (const mode of MODES) expect(matchShortcut(pressed, mode)).toBeNull();
    }
  });

  it("never triggers two shortcuts with one keystroke", () => {
    const keys: [string, string][] = [
      ...[..."0123456789"].map((digit): [string, string] => [digit, `Digit${digit}`]),
      ...[..."abcdefghijklmnopqrstuvwxyz"].map((key): [string, string] => [key, `Key${key.toUpperCase()}`]),
      ["=", "Equal"],
      ["=", "Digit0"],
      ["?", "Slash"],
      ["?", "Digit9"],
      ["Enter", "Enter"],
      ["ArrowUp", "ArrowUp"],
      ["ArrowDown", "ArrowDown"],
      ["ArrowLeft", "ArrowLeft"],
      ["ArrowRight", "ArrowRight"],
      ["Home", "Home"],
      ["End", "End"],
    ];
    for (const [key, code] of keys) {
      for (let bits = 0; bits < 16; bits++) {
        const pressed = stroke(key, code, {
          altKey: (bits & 1) > 0,
          ctrlKey: (bits & 2) > 0,
          metaKey: (bits & 4) > 0,
          shiftKey: (bits & 8) > 0,
        });
        for (const mode of MODES)
          expect(shortcutsFor(mode).filter((shortcut) => shortcut.test(pressed)).length).toBeLessThanOrEqual(
            1,
          );
      }
    }
  });

  it("every shortcut has keys and a unique name", () => {
    expect(new Set(SHORTCUTS.map((shortcut) => shortcut.name)).size).toBe(SHORTCUTS.length);
    for (const shortcut of SHORTCUTS) expect(shortcut.keys.length).toBeGreaterThan(0);
  });
});

describe("the focused control", () => {
  function control(html: string): Element {
    document.body.innerHTML = html;
    return document.body.firstElementChild as Element;
  }

  it("a text field handles every key except the submit shortcut", () => {
    const field = control("<textarea></textarea>");
    expect(belongsToControl(stroke("1", "Digit1"), field)).toBe(true);
    expect(belongsToControl(stroke("Enter", "Enter"), field)).toBe(true);
    expect(belongsToControl(stroke("Enter", "Enter", { ctrlKey: true }), field)).toBe(false);
  });

  it("a button handles only Enter, and a radio button only the arrow keys", () => {
    const button = control("<button>Up</button>");
    expect(belongsToControl(stroke("Enter", "Enter"), button)).toBe(true);
    expect(belongsToControl(stroke("2", "Digit2"), button)).toBe(false);
    const radio = control("<input type=radio>");
    expect(belongsToControl(stroke("ArrowDown", "ArrowDown"), radio)).toBe(true);
    expect(belongsToControl(stroke("2", "Digit2"), radio)).toBe(false);
    expect(belongsToControl(stroke("Enter", "Enter"), radio)).toBe(false);
  });
});

it("the annotators' guide lists every shortcut with its keys and the desk's description", () => {
  const guide = readFileSync("../docs/annotating.md", "utf-8").split("\n");
  const printed = (keys: Shortcut["keys"]) =>
    keys.map((chord) => chord.map((key) => (key === "…" ? key : `\`${key}\``)).join(" ")).join(" ");
  const rows = SHORTCUTS.map(({ name, keys }) => `| ${printed(keys)} | ${en.does[name]} |`);
  expect(guide.filter((line) => line.startsWith("| `"))).toEqual(rows);
});
