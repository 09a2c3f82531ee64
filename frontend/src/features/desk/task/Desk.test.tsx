import { fireEvent, screen } from "@testing-library/react";
import { afterEach, describe, expect, it } from "vitest";
import { formOf } from "@/ranking/answer/formFixture";
import { assignment, cards, clearTheDesk, key, open, server } from "./deskFixture";

afterEach(clearTheDesk);

describe("the desk", () => {
  it("shows the responses in the server's order, without model names", () => {
    server();
    open();
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });

  it("ranks by keyboard and submits once", async () => {
    server();
    const { given } = open();
    key("j");
    key("j");
    key("1", "Digit1");
    key("ArrowDown");
    key("ArrowDown");
    key("=");
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(screen.getByTestId("announcer").textContent).toBe("Response B is rank 2 of 2, tied with A.");
    expect(screen.getAllByTestId("rank-slot").map((slot) => slot.dataset.rank)).toEqual(["1", "2"]);
    key("Enter");
    expect(given).toHaveLength(1);
    expect(given[0]).toMatchObject({ tiers: [["z"], ["x", "y"]], touched: true, token: "t1" });
  });

  it("asks for confirmation before it submits an untouched order", async () => {
    server();
    const { given } = open();
    key("Enter");
    expect(screen.getByText(/Submit this order as your answer/)).toBeTruthy();
    expect(given).toHaveLength(0);
    fireEvent.click(screen.getByRole("button", { name: "Submit this order", hidden: true }));
    expect(given[0]).toMatchObject({ tiers: [["x"], ["y"], ["z"]], touched: false });
  });

  it("does not rank when digits are typed into the comment", () => {
    server();
    open();
    const comment = screen.getByLabelText("Comment");
    comment.focus();
    key("3", "Digit3");
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });
});

const SCALE = { name: "helpful", label: "Helpful", min: 0, max: 4, required: true, points: [] };
const PAIR = formOf({
  responses: { min: 2, max: 2 },
  tie_label: "about the same",
  strength: {
    levels: [
      { value: 1, label: "slightly better" },
      { value: 2, label: "much better" },
    ],
    required: true,
  },
});
const pairTask = (parts = {}) =>
  assignment({
    responses: ["x", "y"].map((id) => ({ id, text: `text of ${id}` })),
    form: { ...PAIR, ...parts },
  });

describe("the desk for a pair", () => {
  it("one key chooses which response is better and by how much, without moving the responses", async () => {
    server();
    const { given } = open(pairTask());
    expect(cards()).toEqual(["x0", "y0"]);
    key("5", "Digit5");
    expect(cards()).toEqual(["x2", "y1"]);
    expect(screen.getByTestId("announcer").textContent).toBe("B is much better.");
    key("ArrowLeft");
    expect(screen.getByTestId("announcer").textContent).toBe("B is slightly better.");
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["y"], ["x"]], strength: 1, touched: true });
  });

  it("does not submit before a position is chosen", () => {
    server();
    const { given } = open(pairTask());
    key("Enter");
    expect(given).toHaveLength(0);
    expect(screen.getByTestId("announcer").textContent).toBe(
      "Not submitted yet. Unanswered: which response is better.",
    );
    expect(screen.getByTestId("pair-scale").contains(document.activeElement)).toBe(true);
  });

  it('submits "both are bad" as a tie', async () => {
    server();
    const { given } = open(pairTask({ strength: null, all_bad: { label: "Both are bad", order: "tied" } }));
    fireEvent.click(screen.getByLabelText("Both are bad"));
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["x", "y"]], all_bad: true, strength: null });
  });
});

describe("the form on the desk", () => {
  it("an unanswered required question blocks submission and receives the focus", async () => {
    server();
    const { given } = open(
      assignment({
        form: formOf({
          ratings: [SCALE],
          questions: [
            {
              name: "safety",
              label: "Which are safe?",
              required: true,
              choices: [
                { name: "all", label: "All of them" },
                { name: "none", label: "None" },
              ],
            },
          ],
          comment: { label: "Why?", required: true },
        }),
      }),
    );
    key("2", "Digit2");
    key("Enter");
    key("Enter");
    expect(given).toHaveLength(0);
    expect(screen.getByText("Helpful of A, B, C")).toBeTruthy();
    // The focus is on the first unanswered scale, where a digit sets a rating instead of a rank.
    const before = cards();
    key("3", "Digit3");
    expect(cards()).toEqual(before);
    expect(screen.getByText("Helpful of B, C")).toBeTruthy();
    for (const response of ["y", "z"]) {
      const scale = document.querySelector(`[data-field="ratings.${response}.helpful"] input`);
      fireEvent.click(scale as Element);
    }
    fireEvent.click(screen.getByLabelText("All of them"));
    fireEvent.change(screen.getByLabelText(/Why\?/), { target: { value: "because" } });
    fireEvent.click(screen.getByRole("button", { name: "Submit ranking" }));
    expect(given[0]).toMatchObject({
      ratings: { x: { helpful: 3 }, y: { helpful: 0 }, z: { helpful: 0 } },
      choices: { safety: "all" },
      comment: "because",
    });
  });

  it("moves from question to question and from card to card with Enter", () => {
    server();
    open(pairTask({ ratings: [SCALE], strength: null }));
    key("1", "Digit1");
    key("Enter");
    key("4", "Digit4");
    key("Enter");
    // The focus moves to the scale in the other card, not to the card itself.
    expect(document.activeElement?.matches('[data-field="ratings.y.helpful"] input')).toBe(true);
  });

  it("clears an answer with Delete or a second click", () => {
    server();
    open(assignment({ form: formOf({ ratings: [{ ...SCALE, required: false }] }) }));
    const scale = () => [
      ...document.querySelectorAll<HTMLInputElement>('[data-field="ratings.x.helpful"] input'),
    ];
    fireEvent.click(scale()[2] as Element);
    expect(scale()[2]?.checked).toBe(true);
    fireEvent.keyDown(scale()[2] as Element, { key: "Delete" });
    expect(scale().some(({ checked }) => checked)).toBe(false);
    fireEvent.click(scale()[1] as Element);
    fireEvent.click(scale()[1] as Element);
    expect(scale().some(({ checked }) => checked)).toBe(false);
  });

  it("a rewrite can start from the best response", () => {
    server();
    open(assignment({ form: formOf({ rewrite: { label: "A better answer", required: false } }) }));
    key("2", "Digit2");
    fireEvent.click(screen.getByRole("button", { name: "Start from the best response" }));
    expect(screen.getByLabelText<HTMLTextAreaElement>("A better answer").value).toBe("text of y");
  });
});

describe("a rewrite", () => {
  const form = formOf({ rewrite: { label: "A better answer", required: false } });

  it("a rewrite is written beside the original, using only the keyboard", async () => {
    server();
    const { given } = open(assignment({ form }));
    key("3", "Digit3");
    key("w");
    const dialog = await screen.findByRole("dialog", { hidden: true });
    // The best response comes first; arrow keys select the other responses.
    expect(dialog.textContent).toContain("text of y");
    expect(dialog.textContent).toContain("3 words");
    fireEvent.click(screen.getByRole("button", { name: "Start from B", hidden: true }));
    const text = dialog.querySelector("textarea") as HTMLTextAreaElement;
    expect(document.activeElement).toBe(text);
    expect(text.value).toBe("text of y");
    fireEvent.change(text, { target: { value: "a text of y, improved" } });
    expect(dialog.textContent).toContain("5 words");
    fireEvent.keyDown(text, { key: "Enter", ctrlKey: true });
    expect(screen.queryByRole("dialog", { hidden: true })).toBeNull();
    expect(given).toHaveLength(0);
    key("Enter");
    expect(given[0]).toMatchObject({ rewrite: "a text of y, improved", tiers: [["y"], ["z"], ["x"]] });
  });

  it("rewriting has no shortcut if the form does not offer a rewrite", () => {
    server();
    open();
    key("w");
    expect(screen.queryByRole("dialog", { hidden: true })).toBeNull();
    key("?");
    expect(screen.queryByText("Write a better response beside the original")).toBeNull();
  });
});

describe("the desk for ranking the best few", () => {
  it("responses that are put into a slot are ranked, and all others stay unranked", async () => {
    server();
    const { given } = open(assignment({ form: formOf({ top_k: { at_least: 1, at_most: 2 } }) }));
    expect(cards()).toEqual(["x0", "y0", "z0"]);
    key("Enter");
    expect(given).toHaveLength(0);
    key("End");
    key("1", "Digit1");
    key("End");
    key("2", "Digit2");
    expect(cards()).toEqual(["z1", "y2", "x0"]);
    key("x", "KeyX");
    expect(cards()).toEqual(["z1", "y0", "x0"]);
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["z"]], touched: true });
  });
});
