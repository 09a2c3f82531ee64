import { act, cleanup, fireEvent, screen, waitFor } from "@testing-library/react";
import { afterEach, describe, expect, it, vi } from "vitest";
import { problemFrom } from "@/api/problem";
import type { Project } from "@/api/types";
import { EMPTY_FIELDS } from "@/ranking/answer/answer";
import { assignment, cards, clearTheDesk, key, open, project, server } from "./deskFixture";

afterEach(clearTheDesk);

describe("skipping", () => {
  const skipWith = async (ways: Project["skip_ways"], choose: string | null) => {
    const { sent } = server();
    const { onSkipped } = open(assignment(), { ...project, skip_ways: ways });
    key("s");
    fireEvent.change(await screen.findByLabelText("Reason"), { target: { value: "not my language" } });
    if (choose) fireEvent.click(screen.getByLabelText(choose));
    fireEvent.click(screen.getByRole("button", { name: "Skip task", hidden: true }));
    return { sent, onSkipped };
  };

  it("skipping uses the project's default option unless another option is chosen", async () => {
    const { sent, onSkipped } = await skipWith(["others", "me"], null);
    await waitFor(() => expect(onSkipped).toHaveBeenCalledOnce());
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toEqual({
      token: "t1",
      reason: "not my language",
      way: "others",
    });
  });

  it("a skipped task can be shown again later if the project allows it", async () => {
    const { sent, onSkipped } = await skipWith(["others", "me"], "Show it to me later");
    await waitFor(() => expect(onSkipped).toHaveBeenCalled());
    expect(sent.find(({ path }) => path.endsWith("/skip"))?.body).toMatchObject({ way: "me" });
  });

  it("if there is only one skip option, its effect is explained and no choice is offered", async () => {
    server();
    open(assignment(), { ...project, skip_ways: ["drop"] });
    key("s");
    expect(await screen.findByText(/Nobody will be asked to rank this task again/)).toBeTruthy();
    expect(screen.queryByRole("radio", { hidden: true })).toBeNull();
  });
});

describe("lease and draft handling", () => {
  it("reports that the lease was lost and keeps the draft", async () => {
    vi.useFakeTimers();
    server({ heartbeat: 409 });
    const { given, onPutDown } = open();
    key("3", "Digit3");
    await act(() => vi.advanceTimersByTimeAsync(61_000));
    expect(screen.getByText("This task is no longer assigned to you")).toBeTruthy();
    expect(screen.getByText("The lease has expired.")).toBeTruthy();
    key("Enter");
    expect(given).toEqual([]);
    expect(JSON.parse(localStorage.getItem("rankloop.answer.a1") ?? "{}").draft.tiers).toEqual([
      ["y"],
      ["z"],
      ["x"],
    ]);
    fireEvent.click(screen.getByRole("button", { name: "Get a task" }));
    expect(onPutDown).toHaveBeenCalledOnce();
  });

  it("while the server is unreachable, shows how long the task is reserved", async () => {
    vi.useFakeTimers();
    server({ heartbeat: 0 });
    const { given } = open();
    await act(() => vi.advanceTimersByTimeAsync(61_000));
    expect(screen.getByText(/This task is reserved for you until/)).toBeTruthy();
    await act(() => vi.advanceTimersByTimeAsync(900_000));
    expect(screen.getByText(/Your reservation ended at/)).toBeTruthy();
    key("3", "Digit3");
    key("Enter");
    expect(given).toHaveLength(1);
  });

  it("discards the draft once the answer is submitted", async () => {
    vi.useFakeTimers();
    const { sent } = server();
    open();
    key("3", "Digit3");
    key("Enter");
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    expect(sent.filter(({ path }) => path.endsWith("/draft"))).toEqual([]);
    expect(localStorage.getItem("rankloop.answer.a1")).toBeNull();
  });

  it("restores the unsaved work of a closed tab", () => {
    server();
    open();
    key("3", "Digit3");
    cleanup();
    open();
    expect(cards()).toEqual(["y1", "z2", "x3"]);
  });

  it("uses the server's draft if it is newer than the browser's", () => {
    server();
    open();
    key("3", "Digit3");
    cleanup();
    open(assignment({ draft: { tiers: [["z"], ["y"], ["x"]], touched: true }, draft_version: 5 }));
    expect(cards()).toEqual(["z1", "y2", "x3"]);
  });
});

describe("an answer that is reopened on the desk", () => {
  const answer = { ...EMPTY_FIELDS, tiers: [["z"], ["x", "y"]], touched: true, duration_ms: 5_000 };

  it("the answer can be edited, the original can be kept, and the task can't be skipped", () => {
    const { sent } = server();
    const { given, onPutDown } = open(assignment({ token: "" }), project, { how: "revise", answer });
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(document.activeElement?.getAttribute("data-response-id")).toBe("z");
    expect(screen.getByText("You are changing your last answer")).toBeTruthy();
    key("s");
    expect(screen.queryByText("Skip this task")).toBeNull();
    key("ArrowDown");
    key("=");
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["z"], ["y"], ["x"]] });
    fireEvent.click(screen.getByRole("button", { name: "Keep my earlier answer" }));
    expect(onPutDown).toHaveBeenCalledOnce();
    expect(sent).toEqual([]);
  });

  it("shows why the answer was refused", () => {
    server();
    open(assignment(), project, {
      answer,
      refusal: problemFrom(422, {
        detail: "It doesn't fit.",
        errors: [{ field: "tiers", reason: "Not ranked: y" }],
      }),
    });
    expect(cards()).toEqual(["z1", "x2", "y2"]);
    expect(screen.getByText("This answer was not accepted")).toBeTruthy();
    expect(screen.getByText("Not ranked: y")).toBeTruthy();
  });
});

describe("a pause", () => {
  it("a pause hides the task and stops the timer without changing the ranking", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    server();
    const { given } = open();
    key("3", "Digit3");
    await act(() => vi.advanceTimersByTimeAsync(10_000));
    key("p");
    expect(screen.getByText(/The timer is stopped/)).toBeTruthy();
    expect(document.querySelector("[data-paused=true]")).toBeTruthy();
    key("1", "Digit1");
    await act(() => vi.advanceTimersByTimeAsync(600_000));
    fireEvent.click(screen.getByRole("button", { name: "Continue ranking", hidden: true }));
    await act(() => vi.advanceTimersByTimeAsync(5_000));
    key("Enter");
    expect(given[0]).toMatchObject({ tiers: [["y"], ["z"], ["x"]] });
    expect(given[0]?.duration_ms).toBeGreaterThanOrEqual(15_000);
    expect(given[0]?.duration_ms).toBeLessThan(17_000);
  });

  it("during a pause, a hidden page keeps renewing its lease for up to an hour", async () => {
    vi.useFakeTimers();
    const { sent } = server();
    open();
    key("p");
    vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
    const beats = () => sent.filter(({ path }) => path.endsWith("/heartbeat")).length;
    await act(() => vi.advanceTimersByTimeAsync(30 * 60_000));
    const half = beats();
    expect(half).toBeGreaterThanOrEqual(29);
    await act(() => vi.advanceTimersByTimeAsync(120 * 60_000));
    expect(beats()).toBeLessThanOrEqual(2 * half + 2);
  });
});

describe("reporting a problem", () => {
  it("sends the problem report and keeps the task on the desk", async () => {
    const { sent } = server();
    open();
    key("i");
    const button = await screen.findByRole<HTMLButtonElement>("button", {
      name: "Send report",
      hidden: true,
    });
    expect(button.disabled).toBe(true);
    fireEvent.click(screen.getByLabelText("Something else"));
    expect(button.disabled).toBe(true);
    fireEvent.change(screen.getByLabelText("Details (optional)"), {
      target: { value: "The table is cut off." },
    });
    fireEvent.click(button);
    await screen.findByText("Reported to the managers");
    expect(sent.find(({ path }) => path.endsWith("/problems"))?.body).toEqual({
      kind: "other",
      text: "The table is cut off.",
    });
    expect(cards()).toEqual(["x1", "y2", "z3"]);
  });
});
