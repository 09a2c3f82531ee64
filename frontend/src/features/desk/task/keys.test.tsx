import { MantineProvider } from "@mantine/core";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { formOf } from "@/ranking/answer/formFixture";
import { keysOf, type Mode } from "@/ranking/keys/shortcuts";
import { ShortcutsDialog } from "../dialogs/KeysAndGuidelines";
import { KeyLine } from "./KeyLine";

const caps = (words: string) =>
  [...(screen.getByText(words).closest("li")?.querySelectorAll("kbd") ?? [])].map((cap) => cap.textContent);

function line(mode: Mode, places: number, { ties = true, across = false } = {}) {
  const onHide = vi.fn();
  render(<KeyLine mode={mode} places={places} ties={ties} across={across} onHide={onHide} />);
  return onHide;
}
afterEach(cleanup);

describe("the line of shortcuts", () => {
  it("shows as many digits as there are slots", () => {
    line("order", 4);
    expect(caps("go to a response")).toEqual(["↑", "↓"]);
    expect(caps("rank (1 is best)")).toEqual(["1", "4"]);
    expect(caps("submit")).toEqual(keysOf("submit").flat());
    cleanup();
    line("order", 2, { ties: false, across: true });
    expect(caps("go to a response")).toEqual(["←", "→"]);
    expect(caps("rank (1 is best)")).toEqual(["1", "2"]);
    expect(screen.queryByText("tie with the one above")).toBeNull();
    cleanup();
    line("best", 10);
    expect(caps("rank among the best")).toEqual(["1", "0"]);
    expect(caps("leave unranked")).toEqual(["x"]);
  });

  it("shows the keys of the scale for a pair instead of the keys that move between responses", () => {
    line("pair", 7);
    expect(caps("choose which is better")).toEqual(["1", "7", "←", "→"]);
    expect(screen.queryByText("go to a response")).toBeNull();
  });

  it("the line of shortcuts can be hidden, and shown again from the shortcut overview", () => {
    const onHide = line("order", 3);
    fireEvent.click(screen.getByRole("button", { name: "Hide this line" }));
    expect(onHide).toHaveBeenCalledOnce();
    const toggleKeyLine = vi.fn();
    render(
      <MantineProvider>
        <ShortcutsDialog
          mode="order"
          form={formOf()}
          view={{ keyLine: false, toggleKeyLine }}
          onClose={vi.fn()}
        />
      </MantineProvider>,
    );
    const box = screen.getByLabelText<HTMLInputElement>("Show the most used shortcuts above the responses");
    expect(box.checked).toBe(false);
    fireEvent.click(box);
    expect(toggleKeyLine).toHaveBeenCalledOnce();
  });
});
