import { describe, expect, it } from "vitest";
import type { AnswerForm } from "@/api/types";
import {
  type EditorAction,
  type EditorState,
  editForm,
  isChanged,
  isOvertaken,
  nameFrom,
  noLongerAsked,
  openEditor,
} from "./editor";

const saved: AnswerForm = {
  responses: { min: 2, max: 10 },
  ties: true,
  tie_label: "About equally good",
  top_k: null,
  strength: null,
  ratings: [{ name: "quality", label: "Quality", min: 1, max: 5, required: true, points: [] }],
  flags: [
    { name: "spam", label: "Spam" },
    { name: "rude", label: "Rude" },
  ],
  questions: [],
  confidence: null,
  not_rankable: true,
  all_bad: null,
  comment: { label: "Why?", required: true },
  rewrite: null,
};

const edited = (...actions: EditorAction[]): EditorState => actions.reduce(editForm, openEditor(saved));

describe("editing a form", () => {
  it("sets the value at a path and shares the unchanged parts with the original", () => {
    const { form } = edited({ type: "put", path: ["ratings", 0, "max"], value: 7 });
    expect(form.ratings[0]).toEqual({ ...saved.ratings[0], max: 7 });
    expect(form.flags).toBe(saved.flags);
    expect(saved.ratings[0]?.max).toBe(5);
  });

  it("a form that was changed back to its saved state counts as unchanged", () => {
    const there = edited({ type: "put", path: ["ties"], value: false });
    expect(isChanged(there)).toBe(true);
    expect(isChanged(editForm(there, { type: "put", path: ["ties"], value: true }))).toBe(false);
  });

  it("one undo step reverts all typing into one field", () => {
    const typed = edited(
      { type: "put", path: ["tie_label"], value: "S" },
      { type: "put", path: ["tie_label"], value: "Sa" },
      { type: "put", path: ["tie_label"], value: "Same" },
      { type: "put", path: ["ties"], value: false },
    );
    const once = editForm(typed, { type: "undo" });
    expect([once.form.tie_label, once.form.ties]).toEqual(["Same", true]);
    expect(editForm(once, { type: "undo" }).form).toEqual(saved);
    expect(editForm(editForm(once, { type: "undo" }), { type: "undo" }).form).toEqual(saved);
  });

  it("detects that the project's form has changed in the meantime", () => {
    const typed = edited({ type: "put", path: ["tie_label"], value: "Same" });
    expect(isOvertaken(typed, saved)).toBe(false);
    expect(isOvertaken(typed, { ...saved, ties: false })).toBe(true);
    expect(isOvertaken(typed, { ...saved, tie_label: "Same" })).toBe(false); // The project's form now equals the edited form.
  });

  it("restores the content of a part that is turned on again", () => {
    const off = edited({ type: "switch", part: "comment", on: false });
    expect(off.form.comment).toBeNull();
    expect(editForm(off, { type: "switch", part: "comment", on: true }).form.comment).toEqual(saved.comment);
    expect(edited({ type: "switch", part: "top_k", on: true }).form.top_k).toEqual({
      at_least: 1,
      at_most: 3,
    });
  });

  it("adds, moves and removes items within the bounds of the list", () => {
    const path = ["flags"];
    const added = edited({ type: "add", path }, { type: "label", path: ["flags", 2], value: "Off topic" });
    expect(added.form.flags.map(({ name }) => name)).toEqual(["spam", "rude", "off_topic"]);
    const up = editForm(added, { type: "move", path, index: 2, by: -1 });
    expect(up.form.flags.map(({ name }) => name)).toEqual(["spam", "off_topic", "rude"]);
    expect(editForm(up, { type: "move", path, index: 0, by: -1 }).form).toBe(up.form);
    const gone = editForm(up, { type: "remove", path, index: 0 });
    expect(gone.form.flags.map(({ name }) => name)).toEqual(["off_topic", "rude"]);
    expect(noLongerAsked(gone)).toEqual(["Spam"]);
  });

  it("assigns the next higher value to each new level or point", () => {
    const graded = edited(
      { type: "switch", part: "strength", on: true },
      { type: "add", path: ["strength", "levels"] },
    );
    expect(graded.form.strength?.levels.at(-1)).toEqual({ value: 4, label: "" });
    const path = ["ratings", 0, "points"];
    expect(edited({ type: "add", path }, { type: "add", path }).form.ratings[0]?.points).toEqual([
      { value: 1, label: "" },
      { value: 2, label: "" },
    ]);
  });
});

describe("the name under which an answer is stored", () => {
  it("the name is derived from a new item's label", () => {
    const typed = edited(
      { type: "add", path: ["questions"] },
      { type: "label", path: ["questions", 0], value: "Is it sa" },
      { type: "label", path: ["questions", 0], value: "Is it safe?" },
    );
    expect(typed.form.questions[0]).toMatchObject({ name: "is_it_safe", label: "Is it safe?" });
  });

  it("a name that is already in use stays the same if the label changes", () => {
    const renamed = edited({ type: "label", path: ["flags", 0], value: "Advertising" });
    expect(renamed.form.flags[0]).toEqual({ name: "spam", label: "Advertising" });
  });

  it("the name does not change if it was entered manually", () => {
    const own = edited(
      { type: "add", path: ["flags"] },
      { type: "put", path: ["flags", 2, "name"], value: "x1" },
      { type: "label", path: ["flags", 2], value: "Something else" },
    );
    expect(own.form.flags[2]).toEqual({ name: "x1", label: "Something else" });
  });

  it("the name is unique and valid for the server", () => {
    expect(nameFrom("Contains PII (names, addresses)")).toBe("contains_pii_names_addresses");
    expect(nameFrom("Déjà vu")).toBe("deja_vu");
    expect(nameFrom("Rude", ["rude", "rude_2"])).toBe("rude_3");
    expect(nameFrom("x".repeat(80))).toHaveLength(60);
    expect(nameFrom("日本")).toBe("");
  });
});
