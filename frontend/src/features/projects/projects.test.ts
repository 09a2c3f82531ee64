import { describe, expect, it } from "vitest";
import type { AnswerForm } from "@/api/types";
import { askedBy } from "./asked";
import { slugFrom } from "./slug";
import { en } from "./texts/en";

describe("a short name derived from a name", () => {
  it.each([
    ["Support replies, March", "support-replies-march"],
    ["Zoë’s Übersetzungen", "zoes-ubersetzungen"],
    ["  --  ", ""],
    ["日本語", ""],
    ["a".repeat(90), "a".repeat(80)],
    [`${"a".repeat(79)} b`, "a".repeat(79)],
  ])("%s", (name, slug) => expect(slugFrom(name)).toBe(slug));
});

const form: AnswerForm = {
  responses: { min: 2, max: 2 },
  ties: false,
  tie_label: "Tie",
  top_k: null,
  strength: { levels: [1, 2, 3, 4].map((value) => ({ value, label: `${value}` })), required: true },
  ratings: [],
  flags: [],
  questions: [],
  confidence: null,
  not_rankable: false,
  all_bad: null,
  comment: { label: "Why?", required: true },
  rewrite: null,
};

describe("a form's questions in words", () => {
  it("a pair of responses is described with the number of strength levels", () => {
    expect(askedBy(form, en.asked)).toEqual([
      "Two responses: which is better, on a scale with 4 levels, no tie",
      "Why?, required",
    ]);
  });

  it("a full ranking and a ranking of the best few are described", () => {
    const many = { ...form, responses: { min: 4, max: 9 }, ties: true, comment: null };
    expect(askedBy(many, en.asked)).toEqual([
      "4–9 responses in order, ties allowed",
      "How much better the best response is, on a scale with 4 levels",
    ]);
    const best = { ...many, strength: null, top_k: { at_least: 1, at_most: 3 } };
    expect(askedBy(best, en.asked)).toEqual(["The best 3 of 4–9 responses"]);
  });

  it("the questions about each response are counted", () => {
    const flags = ["spam", "rude"].map((name) => ({ name, label: name }));
    const scale = { name: "q", label: "Quality", min: 1, max: 5, required: true, points: [] };
    expect(askedBy({ ...form, flags, ratings: [scale] }, en.asked).slice(1, 3)).toEqual([
      "Quality of each response, 1 to 5",
      "2 flags for each response",
    ]);
  });
});
