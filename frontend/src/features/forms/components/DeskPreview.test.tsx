import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import { formOf } from "@/ranking/answer/formFixture";
import { recall, remember } from "@/ranking/layout/remembered";
import { DeskPreview } from "./DeskPreview";

afterEach(() => {
  cleanup();
  localStorage.clear();
});

const layout = () => screen.getByTestId("responses").dataset.layout;

it("a layout chosen in the preview does not affect the real desk", () => {
  const mine = { list: "focus", pair: "column", together: false, keyLine: false } as const;
  remember(mine);
  const preview = (comment: string) => (
    <MantineProvider>
      <DeskPreview form={formOf({ comment: { label: comment, required: false } })} />
    </MantineProvider>
  );
  const { rerender } = render(preview("Why?"));
  // The preview uses the annotators' default view, not the manager's own view.
  expect(layout()).toBe("column");
  fireEvent.click(screen.getByRole("button", { name: "Side by side" }));
  fireEvent.click(screen.getByRole("button", { name: "Scroll together" }));
  expect(layout()).toBe("row");
  rerender(preview("And why?"));
  expect(layout()).toBe("row");
  expect(recall()).toEqual(mine);
});
