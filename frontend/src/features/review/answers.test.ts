import { describe, expect, it } from "vitest";
import type { AnswerGiven } from "@/api/types";
import { formOf } from "@/ranking/answer/formFixture";
import { orderInLetters, saidBeside } from "./answers";
import { en } from "./texts/en";

const letters = new Map([
  ["x", "A"],
  ["y", "B"],
  ["z", "C"],
]);
const given = (changes: Partial<AnswerGiven> = {}): AnswerGiven => ({
  id: "r",
  by: "alice",
  tiers: [["y"], ["x", "z"]],
  strength: null,
  ratings: {},
  flags: {},
  choices: {},
  confidence: null,
  not_rankable: false,
  all_bad: false,
  comment: "",
  rewrite: null,
  created_at: "2026-01-31T12:00:00Z",
  ...changes,
});

describe("an annotator's answer, shown to a reviewer", () => {
  it("shows the order with the desk's letters", () => {
    expect(orderInLetters(given(), letters, en.said)).toBe("B > A = C");
    expect(orderInLetters(given({ tiers: [["z"]] }), letters, en.said)).toBe("C > (A, B)");
    expect(orderInLetters(given({ tiers: [], not_rankable: true }), letters, en.said)).toBe("Not rankable");
    expect(orderInLetters(given({ tiers: [], all_bad: true }), letters, en.said)).toBe("All bad");
    expect(orderInLetters(given({ all_bad: true }), letters, en.said)).toBe("B > A = C, all bad");
    expect(orderInLetters(given({ tiers: [] }), letters, en.said)).toBe("No order");
  });

  it("shows the other parts with the form's labels, or as stored if there is no label", () => {
    const form = formOf({ flags: [{ name: "unsafe", label: "Unsafe" }] });
    const answer = given({ strength: 2, flags: { x: ["unsafe"], y: ["odd"], z: [] } });
    expect(saidBeside(answer, form, letters, en.said)).toEqual([
      "The best response is better by 2",
      "A is flagged: Unsafe",
      "B is flagged: odd",
    ]);
    expect(saidBeside(given(), form, letters, en.said)).toEqual([]);
  });
});
