import type { Leaderboard, LeaderboardRow } from "@/api/types";

/**
 * Returns a function that converts a value to a position between the lowest and the highest bound, in
 * percent.
 */
export function scaleOf(rows: readonly LeaderboardRow[]): (value: number) => number {
  const low = Math.min(...rows.map((row) => row.low));
  const high = Math.max(...rows.map((row) => row.high));
  return (value) => (high > low ? ((value - low) / (high - low)) * 100 : 50);
}

/**
 * The probability that the first model beats the second model, given that the two models do not tie. The
 * strengths are in log odds.
 */
export function chanceToWin(one: number, other: number): number {
  return 1 / (1 + Math.exp(other - one));
}

/** The models of each group, best first. Groups are ordered by their best model. */
export function groupsOf(rows: readonly LeaderboardRow[]): LeaderboardRow[][] {
  const groups = new Map<number, LeaderboardRow[]>();
  for (const row of rows) groups.set(row.group, [...(groups.get(row.group) ?? []), row]);
  return [...groups.values()];
}

export function hasLevels(rows: readonly LeaderboardRow[]): boolean {
  return groupsOf(rows).some((group) => new Set(group.map((row) => row.level)).size > 1);
}

/**
 * Whether the row's model is significantly worse than the group's best model. A model is significantly worse
 * if its confidence interval lies entirely below the best model's interval.
 */
export function tellable(row: LeaderboardRow, best: LeaderboardRow): boolean {
  return row !== best && row.high < best.low;
}

type Met = { wins: number; losses: number; ties: number };

/**
 * Returns a function that looks up the wins, losses and ties of the model `one` against the model `other`.
 * `matrix` contains each pair only once.
 */
export function winMatrix(matrix: Leaderboard["matrix"]): (one: string, other: string) => Met | undefined {
  const cells = new Map<string, Met>();
  for (const { model, against, wins, losses, ties } of matrix) {
    cells.set(JSON.stringify([model, against]), { wins, losses, ties });
    cells.set(JSON.stringify([against, model]), { wins: losses, losses: wins, ties });
  }
  return (one, other) => cells.get(JSON.stringify([one, other]));
}

/** The share of comparisons that the row's model won; a tie is half a win for each model. */
export function shareWon({ wins, losses, ties }: Met): number {
  return (wins + ties / 2) / (wins + losses + ties);
}
