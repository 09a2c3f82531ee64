import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Assignment, Project } from "@/api/types";
import { formOf } from "@/ranking/answer/formFixture";
import { toRank } from "../flow/flow";
import { Desk } from "./Desk";

const TEXTS = {
  w: "Water boils at ninety degrees up here.",
  x: "Water boils at eighty degrees up here.",
  y: "Ask someone else.",
  z: "I do not know.",
};
const task = (parts = {}, texts: Record<string, string> = TEXTS): Assignment => ({
  id: "a1",
  token: "t1",
  expires_at: new Date(Date.now() + 900_000).toISOString(),
  task: { id: "k", prompt: { messages: [{ role: "user", content: "When does water boil?" }] } },
  responses: Object.entries(texts).map(([id, text]) => ({ id, text })),
  form: formOf(parts),
  draft: null,
  draft_version: 0,
  practice: false,
});

function open(assignment = task()) {
  vi.stubGlobal("fetch", async () => new Response("{}", { headers: { "Content-Type": "application/json" } }));
  const project = { slug: "p", guidelines: "", skip_ways: ["others"] } as unknown as Project;
  render(
    <MantineProvider>
      <QueryClientProvider client={new QueryClient()}>
        <Desk
          project={project}
          hand={toRank(assignment)}
          lastDone=""
          onGive={vi.fn()}
          onSkipped={vi.fn()}
          onTakeBack={vi.fn()}
          onPutDown={vi.fn()}
          onReload={vi.fn()}
        />
      </QueryClientProvider>
    </MantineProvider>,
  );
}

const press = (...names: string[]) => {
  for (const name of names) {
    const code = /\d/.test(name) ? `Digit${name}` : name;
    fireEvent.keyDown(document.activeElement ?? document.body, { key: name, code });
  }
};
const layout = () => screen.getByTestId("responses").dataset.layout;
const all = () => screen.getAllByTestId("response-card").map((card) => card.dataset.responseId ?? "");
const shown = () =>
  screen
    .getAllByTestId("response-card")
    .filter((card) => !card.closest("li")?.hidden)
    .map((card) => card.dataset.responseId ?? "");
const card = (id: string) =>
  document.querySelector<HTMLElement>(`[data-testid="response-card"][data-response-id="${id}"]`);
const marked = (tag: string) =>
  [...document.querySelectorAll(`[data-testid="response-text"] ${tag}`)].map((mark) => mark.textContent);

beforeEach(() => localStorage.clear());
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

describe("the layout of the desk", () => {
  it("a key changes the layout, which is remembered in the browser", () => {
    open();
    expect(layout()).toBe("column");
    press("v");
    expect(layout()).toBe("row");
    expect(screen.getByRole("button", { name: "Side by side" }).getAttribute("aria-pressed")).toBe("true");
    cleanup();
    open();
    expect(layout()).toBe("row");
    fireEvent.click(screen.getByRole("button", { name: "Two at a time" }));
    expect(layout()).toBe("focus");
    expect(screen.getByTestId("announcer").textContent).toBe("Two at a time.");
  });

  it("the same keys produce the same order in every layout", () => {
    const orders = ["column", "row", "focus"].map((wanted) => {
      open();
      while (layout() !== wanted) press("v");
      press("End", "1", "ArrowDown", "=", "ArrowRight", "3", "u", "End");
      fireEvent.click(
        within(card("w") as HTMLElement).getByRole("button", { name: /into slot 4/, hidden: true }),
      );
      const order = screen
        .getAllByTestId("response-card")
        .map((element) => `${element.dataset.responseId}${element.dataset.rank}`);
      cleanup();
      localStorage.removeItem("rankloop.answer.a1");
      return order;
    });
    expect(orders[0]).not.toEqual(["w1", "x2", "y3", "z4"]);
    expect(orders[1]).toEqual(orders[0]);
    expect(orders[2]).toEqual(orders[0]);
  });

  it("the current response is shown with the response kept in view or a neighbour", () => {
    open();
    press("v", "v");
    expect(shown()).toEqual(["w", "x"]);
    press("ArrowDown", "ArrowDown");
    expect(shown()).toEqual(["x", "y"]);
    press("Home", "h", "End");
    expect(shown()).toEqual(["w", "z"]);
    expect(all()).toEqual(["w", "x", "y", "z"]);
    fireEvent.click(screen.getByRole("button", { name: "Stop keeping response A in view" }));
    press("End");
    expect(shown()).toEqual(["y", "z"]);
  });

  it("brings the card of an unanswered question into view", () => {
    const ratings = [{ name: "helpful", label: "Helpful", min: 0, max: 4, required: true, points: [] }];
    open(task({ ratings }));
    press("v", "v", "End", "1", "End");
    expect(shown()).not.toContain("z");
    press("Enter");
    const first = all().find((id) => card(id)?.contains(document.activeElement));
    expect(document.activeElement?.matches("input[type=radio]")).toBe(true);
    expect(shown()).toContain(first);
  });
});

describe("the comparison of two responses", () => {
  it("marks the differences between the current response and its neighbour as the focus moves", async () => {
    open();
    press("d");
    expect(shown()).toEqual(["w", "x"]);
    await screen.findByTestId("comparison");
    expect([marked("del"), marked("ins")]).toEqual([["ninety"], ["eighty"]]);
    expect(screen.getByTestId("comparison").textContent).toBe("only in A 1 wordonly in B 1 word");
    press("End");
    expect(shown()).toEqual(["y", "z"]);
    fireEvent.change(screen.getByRole("combobox"), { target: { value: "w" } });
    expect(shown()).toEqual(["w", "z"]);
    press("1");
    expect(shown()).toEqual(["z", "w"]);
    press("d");
    expect(layout()).toBe("column");
    await waitFor(() =>
      expect(document.querySelector('[data-testid="response-text"] :is(del, ins)')).toBeNull(),
    );
  });

  it("a message states that there are no differences, or that there are too many to mark", async () => {
    open(task({}, { w: "The same words.", x: "The same\n\nwords.", y: "z ".repeat(260_000) }));
    press("d");
    expect((await screen.findByTestId("comparison")).textContent).toBe(
      "A and B have the same words in the same order.",
    );
    press("End");
    expect(screen.getByTestId("comparison").textContent).toMatch(/too long or too different/);
    expect(card("x")?.textContent).toContain("The same");
  });

  it("marks the differences in a pair without moving the responses", async () => {
    open(task({ responses: { min: 2, max: 2 } }, { w: TEXTS.w, x: TEXTS.x }));
    expect(layout()).toBe("row");
    press("d");
    await screen.findByTestId("comparison");
    expect([marked("del"), marked("ins")]).toEqual([["ninety"], ["eighty"]]);
    expect(screen.queryByRole("combobox")).toBeNull();
    press("v");
    expect(layout()).toBe("column");
  });
});
