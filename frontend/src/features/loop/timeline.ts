import type { Gate, TimelineRound } from "@/api/types";

export type Interval = { value: number; low: number | null; high: number | null };

/** The figures of one gate of a policy. Figures that were not measured are null. */
export type PolicyFigures = {
  model: string;
  state: Gate["state"];
  people: Interval | null;
  rewardModel: Interval | null;
  gold: Interval | null;
};

export type RoundFigures = {
  id: string;
  number: number;
  state: TimelineRound["state"];
  /** The reward model's accuracy on held-out pairs. */
  accuracy: Interval | null;
  policies: PolicyFigures[];
};

/** The figures of each round. Skipped rounds have none and are left out. */
export function figuresOf(rounds: readonly TimelineRound[]): RoundFigures[] {
  return rounds
    .filter(({ state }) => state !== "skipped")
    .map(({ id, number, state, gates }) => ({
      id,
      number,
      state,
      accuracy: gates.map(accuracyOf).find((found) => found !== null) ?? null,
      policies: gates.filter((gate) => gate.incumbent && accuracyOf(gate) === null).map(policyOf),
    }));
}

function accuracyOf({ checks }: Gate): Interval | null {
  const check = checks.find(({ name }) => name === "accuracy");
  return check && check.value !== null
    ? { value: check.value, low: check.low ?? null, high: check.high ?? null }
    : null;
}

function policyOf(gate: Gate): PolicyFigures {
  return {
    model: gate.model.name,
    state: gate.state,
    people: rateOf(gate.comparison),
    rewardModel: rateOf(gate.win_rates.reward_model),
    gold: rateOf(gate.win_rates.gold),
  };
}

function rateOf(found: Gate["comparison"] | undefined): Interval | null {
  return found && found.answers > 0 ? { value: found.win_rate, low: found.low, high: found.high } : null;
}

export type Mark = { key: string; series: Series; x: number; interval: Interval };
export type Series = "accuracy" | "people" | "rewardModel" | "gold";
export const SERIES: readonly Series[] = ["people", "gold", "rewardModel", "accuracy"];

/**
 * The marks of the plot. `x` is 0 in the middle of the first round and 1 in the middle of the second. Within a
 * round, marks are side by side, so that their intervals don't overlap.
 */
export function marksOf(rounds: readonly RoundFigures[]): Mark[] {
  return rounds.flatMap((round, index) => {
    const figures: [Series, Interval | null][] = [
      ["accuracy", round.accuracy],
      ...round.policies.flatMap((policy): [Series, Interval | null][] =>
        (["rewardModel", "gold", "people"] as const).map((series) => [series, policy[series]]),
      ),
    ];
    const known = figures.flatMap(([series, interval]) => (interval ? [{ series, interval }] : []));
    const gap = 0.6 / Math.max(known.length, 4);
    return known.map(({ series, interval }, place) => ({
      key: `${round.number} ${place}`,
      series,
      x: index + (place - (known.length - 1) / 2) * gap,
      interval,
    }));
  });
}
