import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { en } from "../texts/order.en";
import { announce, letterOf, spokenOrder } from "./announce";
import {
  isTouched,
  type Ranking,
  type RankingAction,
  reduce,
  restoreRanking,
  slotOf,
  startRanking,
} from "./rankingReducer";

const start = (ids = "ABCD", ties = true, atMost: number | null = null) =>
  startRanking([...ids], { ties, atMost });
const FREE = { ties: true, atMost: null };
const run = (ranking: Ranking, ...actions: RankingAction[]) => actions.reduce(reduce, ranking);
const show = (ranking: Ranking) => ranking.tiers.map((tier) => tier.join("=")).join(" ");

describe("placing a response by digit", () => {
  it("puts the response alone into the slot and closes the gap at its old position", () => {
    expect(show(run(start(), { type: "place", id: "C", slot: 1 }))).toBe("C A B D");
    expect(show(run(start(), { type: "place", id: "A", slot: 3 }))).toBe("B C A D");
  });

  it("treats a slot past the end as the last slot", () => {
    expect(show(run(start(), { type: "place", id: "A", slot: 9 }))).toBe("B C D A");
  });

  it("takes a tied response out of its tie", () => {
    const tied = run(start(), { type: "tie", id: "B" });
    expect(show(tied)).toBe("A=B C D");
    expect(show(run(tied, { type: "place", id: "B", slot: 3 }))).toBe("A C B D");
  });

  it("can tie the response with those already in a slot", () => {
    expect(show(run(start(), { type: "join", id: "D", slot: 2 }))).toBe("A B=D C");
    expect(show(run(start(), { type: "join", id: "A", slot: 3 }))).toBe("B C=A D");
    expect(show(run(start(), { type: "join", id: "A", slot: 1 }))).toBe("A B C D");
    expect(show(run(start(), { type: "join", id: "A", slot: 9 }))).toBe("A B C D");
  });
});

describe("moving a response by one step", () => {
  it("moves the response past its neighbour", () => {
    expect(show(run(start(), { type: "move", id: "C", by: -1 }))).toBe("A C B D");
    expect(show(run(start(), { type: "move", id: "C", by: 1 }))).toBe("A B D C");
  });

  it("a response at the top or bottom moves no further", () => {
    expect(run(start(), { type: "move", id: "A", by: -1 }).past).toHaveLength(0);
    expect(show(run(start(), { type: "move", id: "D", by: 1 }))).toBe("A B C D");
  });

  it("takes a response out of its tie, or moves it past a whole tie", () => {
    const tied = run(start(), { type: "tie", id: "C" });
    expect(show(tied)).toBe("A B=C D");
    expect(show(run(tied, { type: "move", id: "C", by: -1 }))).toBe("A C B D");
    expect(show(run(tied, { type: "move", id: "D", by: -1 }))).toBe("A D B=C");
  });
});

describe("tying a response", () => {
  it("adds the response to the tier above, or takes it out again", () => {
    const tied = run(start(), { type: "tie", id: "B" });
    expect(show(tied)).toBe("A=B C D");
    expect(show(run(tied, { type: "tie", id: "C" }))).toBe("A=B=C D");
    expect(show(run(tied, { type: "tie", id: "B" }))).toBe("A B C D");
  });

  it("ties the top response with the one below", () => {
    expect(show(run(start(), { type: "tie", id: "A" }))).toBe("A=B C D");
  });

  it("does nothing if the project does not allow ties", () => {
    const strict = start("ABC", false);
    expect(run(strict, { type: "tie", id: "B" }, { type: "join", id: "C", slot: 1 }).tiers).toEqual(
      strict.tiers,
    );
  });
});

describe("dropping a dragged response", () => {
  it("a drop between two tiers gives the response its own tier", () => {
    expect(show(run(start(), { type: "drop", id: "D", index: 0 }))).toBe("D A B C");
    expect(show(run(start(), { type: "drop", id: "A", index: 3 }))).toBe("B C D A");
  });

  it("a drop inside a tie adds the response to the tie", () => {
    const tied = run(start(), { type: "tie", id: "B" });
    expect(show(run(tied, { type: "drop", id: "D", index: 1 }))).toBe("A=D=B C");
    expect(show(run(tied, { type: "drop", id: "D", index: 2 }))).toBe("A=B D C");
  });

  it("a drop at the response's old position changes nothing", () => {
    const tied = run(start(), { type: "tie", id: "B" });
    expect(show(run(tied, { type: "drop", id: "B", index: 1 }))).toBe("A=B C D");
    expect(run(tied, { type: "drop", id: "B", index: 1 }).past).toHaveLength(1);
  });
});

describe("undo and focus", () => {
  it("undo reverts every change and marks the order as untouched", () => {
    const once = run(start(), { type: "place", id: "D", slot: 1 }, { type: "tie", id: "A" });
    expect(isTouched(once)).toBe(true);
    const back = run(once, { type: "undo" }, { type: "undo" });
    expect(show(back)).toBe("A B C D");
    expect(isTouched(back)).toBe(false);
    expect(run(back, { type: "undo" })).toBe(back);
  });

  it("the focus stays on the response that moved", () => {
    expect(run(start(), { type: "focusBy", by: 1 }, { type: "place", id: "B", slot: 4 }).focus).toBe("B");
  });

  it("the focus moves in screen order and stops at the ends", () => {
    const moved = run(start(), { type: "place", id: "D", slot: 1 });
    expect(run(moved, { type: "focusBy", by: 1 }).focus).toBe("A");
    expect(run(moved, { type: "focusBy", by: -1 }).focus).toBe("D");
    expect(run(moved, { type: "focusEdge", edge: "last" }).focus).toBe("C");
  });

  it("a response that is not in the task is ignored", () => {
    const ranking = start();
    expect(reduce(ranking, { type: "place", id: "foreign", slot: 1 })).toBe(ranking);
  });
});

describe("restoring a draft", () => {
  it("accepts tiers that contain exactly the responses shown", () => {
    const restored = restoreRanking(["A", "B", "C"], [["B"], ["A", "C"]], true, FREE);
    expect(restored && show(restored)).toBe("B A=C");
    expect(restored && isTouched(restored)).toBe(true);
  });

  it.each([
    ["incomplete", [["A"], ["B"]]],
    ["not unique", [["A"], ["A"], ["B"]]],
    ["from another task", [["A"], ["B"], ["X"]]],
    ["partly empty", [["A", "B", "C"], []]],
    ["not a list", "ABC"],
    ["undefined", undefined],
  ])("refuses tiers that are %s", (_what, tiers) => {
    expect(restoreRanking(["A", "B", "C"], tiers, true, FREE)).toBeNull();
  });

  it("refuses a tie if ties are not allowed", () => {
    expect(restoreRanking(["A", "B"], [["A", "B"]], true, { ties: false, atMost: null })).toBeNull();
  });
});

describe("a ranking of the best few", () => {
  const best = (atMost = 2) => start("ABCD", true, atMost);
  const all = (ranking: Ranking) => `${show(ranking)} | ${ranking.unranked.join("")}`;
  const place = (id: string, slot: number): RankingAction => ({ type: "place", id, slot });

  it("a ranking of the best few starts empty", () => {
    expect(all(best())).toBe(" | ABCD");
  });

  it("unranks the last response when too many responses are ranked", () => {
    const two = run(best(), place("C", 1), place("A", 2));
    expect(all(two)).toBe("C A | BD");
    expect(all(run(two, place("D", 1)))).toBe("D C | AB");
    expect(all(run(two, place("D", 9)))).toBe("C A | BD");
    expect(all(run(two, { type: "join", id: "B", slot: 1 }))).toBe("C=B | AD");
  });

  it("the ranking grows or shrinks by one response per step", () => {
    const up = (id: string): RankingAction => ({ type: "move", id, by: -1 });
    const down = (id: string): RankingAction => ({ type: "move", id, by: 1 });
    expect(all(run(best(), up("C"), up("D")))).toBe("C D | AB");
    expect(all(run(best(), up("C"), up("D"), up("A")))).toBe("C A | DB");
    expect(all(run(best(), up("C"), up("D"), down("D")))).toBe("C | DAB");
    expect(all(run(best(), up("C"), down("C"), down("C")))).toBe(" | CABD");
  });

  it("responses can be unranked by command, and ranked or unranked by dragging them across the line", () => {
    const two = run(best(), place("C", 1), place("A", 2));
    expect(all(run(two, { type: "unrank", id: "C" }))).toBe("A | CBD");
    expect(all(run(two, { type: "unrank", id: "B" }))).toBe("C A | BD");
    // The list: C A ── B D
    expect(all(run(two, { type: "drop", id: "C", index: 2 }))).toBe("A | CBD");
    expect(all(run(two, { type: "drop", id: "C", index: 4 }))).toBe("A | BDC");
    expect(all(run(two, { type: "drop", id: "D", index: 0 }))).toBe("D C | AB");
    // An unranked response that is dropped onto the line takes the last rank, unless all ranks are taken.
    expect(all(run(two, { type: "drop", id: "B", index: 2 }))).toBe("C A | BD");
    expect(all(run(best(), { type: "drop", id: "B", index: 0 }))).toBe("B | ACD");
  });

  it("forms that rank all responses have no unranked responses", () => {
    expect(all(run(start(), { type: "unrank", id: "A" }))).toBe("A B C D | ");
  });

  it("restoring a draft ranks its responses and leaves all other responses unranked", () => {
    const rules = { ties: true, atMost: 2 };
    const back = restoreRanking([..."ABCD"], [["C"], ["A"]], true, rules);
    expect(back && all(back)).toBe("C A | BD");
    expect(restoreRanking([..."ABCD"], [["C"], ["A"], ["B"]], true, rules)).toBeNull();
    expect(restoreRanking([..."ABCD"], [["C"], ["C"]], true, rules)).toBeNull();
  });

  it("announces every change", () => {
    const two = run(best(), place("C", 1), place("A", 2));
    const say = (action: RankingAction) => announce(two, action, reduce(two, action), [..."ABCD"], en);
    expect(say(place("D", 1))).toBe(
      "Response D is rank 1 of 2. A became unranked because all ranks were taken.",
    );
    expect(say({ type: "unrank", id: "C" })).toBe("Response C is no longer ranked.");
    expect(say(place("D", 9))).toBe("Response D stays unranked.");
    expect(spokenOrder([], [..."ABCD"], en)).toBe("nothing is ranked");
  });
});

describe("any sequence of actions", () => {
  const ids = [..."ABCDEFGHIJ"];
  const id = (size: number) => fc.constantFrom(...ids.slice(0, size), "foreign");
  const by = fc.constantFrom<-1 | 1>(-1, 1);
  const action = (size: number): fc.Arbitrary<RankingAction> =>
    fc.oneof(
      fc.record({
        type: fc.constant("place" as const),
        id: id(size),
        slot: fc.integer({ min: -2, max: 12 }),
      }),
      fc.record({ type: fc.constant("join" as const), id: id(size), slot: fc.integer({ min: -2, max: 12 }) }),
      fc.record({ type: fc.constant("move" as const), id: id(size), by }),
      fc.record({ type: fc.constant("tie" as const), id: id(size) }),
      fc.record({
        type: fc.constant("drop" as const),
        id: id(size),
        index: fc.integer({ min: -2, max: 12 }),
      }),
      fc.record({ type: fc.constant("unrank" as const), id: id(size) }),
      fc.record({ type: fc.constant("undo" as const) }),
      fc.record({ type: fc.constant("focusBy" as const), by }),
    );
  const scene = fc.integer({ min: 2, max: 10 }).chain((size) =>
    fc.record({
      size: fc.constant(size),
      rules: fc.record({
        ties: fc.boolean(),
        atMost: fc.option(fc.integer({ min: 1, max: 10 }), { nil: null }),
      }),
      actions: fc.array(action(size), { maxLength: 60 }),
    }),
  );

  it("keeps each response exactly once, leaves no tier empty, and obeys the form", () => {
    fc.assert(
      fc.property(scene, ({ size, rules, actions }) => {
        const shown = ids.slice(0, size);
        const end = run(startRanking(shown, rules), ...actions);
        expect([...end.tiers.flat(), ...end.unranked].sort()).toEqual(shown);
        expect(end.tiers.every((tier) => tier.length > 0)).toBe(true);
        expect(end.tiers.flat().length).toBeLessThanOrEqual(rules.atMost ?? size);
        if (rules.atMost === null) expect(end.unranked).toEqual([]);
        if (!rules.ties) expect(end.tiers.every((tier) => tier.length === 1)).toBe(true);
        expect(shown).toContain(end.focus);
      }),
    );
  });

  it("all actions can be undone, back to the initial order", () => {
    fc.assert(
      fc.property(scene, ({ size, rules, actions }) => {
        const first = startRanking(ids.slice(0, size), rules);
        let end = run(first, ...actions);
        while (end.past.length > 0) end = reduce(end, { type: "undo" });
        expect(end.tiers).toEqual(first.tiers);
        expect([...end.unranked].sort()).toEqual(first.unranked);
      }),
    );
  });

  it("an action never changes the previous ranking", () => {
    fc.assert(
      fc.property(scene, ({ size, rules, actions }) => {
        let ranking = startRanking(ids.slice(0, size), rules);
        for (const next of actions) {
          const before = JSON.stringify(ranking);
          const after = reduce(ranking, next);
          expect(JSON.stringify(ranking)).toBe(before);
          ranking = after;
        }
      }),
    );
  });

  it("placing a response puts it alone into its slot", () => {
    fc.assert(
      fc.property(
        scene,
        fc.nat(9),
        fc.integer({ min: 1, max: 10 }),
        ({ size, rules, actions }, which, slot) => {
          const before = run(startRanking(ids.slice(0, size), rules), ...actions);
          const placed = ids[which % size] as string;
          const after = reduce(before, { type: "place", id: placed, slot });
          // All ranks are taken and the slot is past the last one, so the response does not move.
          if (after.unranked.includes(placed)) {
            expect(after.tiers).toEqual(before.tiers);
            return;
          }
          expect(after.tiers[slotOf(after.tiers, placed) - 1]).toEqual([placed]);
          expect(slotOf(after.tiers, placed)).toBe(Math.min(slot, after.tiers.length));
        },
      ),
    );
  });
});

describe("an announcement", () => {
  const shown = [..."wxyz"];
  const say = (ranking: Ranking, action: RankingAction) =>
    announce(ranking, action, reduce(ranking, action), shown, en);

  it("identifies responses by their letter on screen", () => {
    expect(letterOf(shown, "y")).toBe("C");
    expect(say(startRanking(shown, FREE), { type: "place", id: "y", slot: 1 })).toBe(
      "Response C is rank 1 of 4.",
    );
  });

  it("lists the responses in a tie", () => {
    expect(say(startRanking(shown, FREE), { type: "tie", id: "x" })).toBe(
      "Response B is rank 1 of 3, tied with A.",
    );
  });

  it("explains why an action changed nothing", () => {
    expect(say(startRanking(shown, FREE), { type: "move", id: "w", by: -1 })).toBe(
      "Response A is already at the top.",
    );
    expect(say(startRanking(shown, { ties: false, atMost: null }), { type: "tie", id: "x" })).toBe(
      "This project does not allow ties.",
    );
    expect(say(startRanking(shown, FREE), { type: "undo" })).toBe("Nothing to undo.");
  });

  it("puts an order into words", () => {
    expect(spokenOrder([["x"], ["w", "z"], ["y"]], shown, en)).toBe("B, then A and D tied, then C");
  });
});
