import { render } from "@testing-library/react";
import { expect, it } from "vitest";
import { Coded } from "./Coded";

it("shows text between backticks as code, and other markup literally", () => {
  const { container } = render(<Coded text='For `<List name="results">` with `<Ranker>`; one task.' />);
  expect(container.textContent).toBe('For <List name="results"> with <Ranker>; one task.');
  expect([...container.querySelectorAll("code")].map((code) => code.textContent)).toEqual([
    '<List name="results">',
    "<Ranker>",
  ]);
});
