import { count, percent, plural } from "@/shared/format";

export const en = {
  title: "Leaderboard",
  lead: "The strength of each model in pairwise comparisons, with confidence intervals.",
  computing: "Computing strengths",
  empty: {
    title: "No models to compare yet",
    text: "Models appear here when their responses have been ranked against each other. Responses need a model name: import files can contain it, and sample runs add it automatically.",
    action: "Import responses",
  },
  method: {
    label: "Method",
    bradley_terry: "Bradley–Terry",
    davidson: "Davidson",
    bradley_terryMeaning: "A tie is half a win for each model.",
    davidsonMeaning: "A tie is a separate outcome.",
    ties: (chance: number) => `Two equal models tie with a probability of ${percent(chance)}.`,
  },
  by: {
    label: "Slices",
    none: "none",
    round: "by round",
    split: "by split",
    metadata: "by metadata",
    key: "Prompt metadata key",
    keyHint: "For example, topic or language.",
    go: "Apply",
  },
  board: {
    title: "Strengths",
    table: "Strengths, table",
    compared: (n: number) => `from ${plural(n, "comparison")}`,
    model: "Model",
    group: "Group",
    level: "Level",
    strength: "Strength",
    interval: "95 % interval",
    chance: "Beats the best",
    won: "Won",
    lost: "Lost",
    tied: "Tied",
    best: "best",
    notTold: "not significantly different from the best model",
    from: (low: string, high: string) => `${low} to ${high}`,
    meaning:
      "Strengths are log odds, centred at 0: with a difference of 1, the stronger model wins 73 % of comparisons. Intervals are computed by resampling tasks. If two intervals overlap widely, the order is uncertain.",
    left: (n: number) => `${plural(n, "model")} with fewer comparisons ${n === 1 ? "is" : "are"} not shown.`,
  },
  groups: (n: number) =>
    `These models form ${count(n)} groups that have never been compared with each other, directly or indirectly. Strengths are comparable within a group only. A task with responses from two groups would connect these groups.`,
  levels:
    "Between any two levels of a group, one level has won every comparison. The strength difference between the levels therefore has only a lower bound. A few more comparisons would determine the difference.",
  matrix: {
    title: "Head to head",
    table: "Wins, table",
    lead: "How often the row’s model was preferred to the column’s model. A tie is half a win.",
    cell: (one: string, other: string, wins: number, losses: number, ties: number) =>
      `${one} versus ${other}: ${count(wins)} won, ${count(losses)} lost, ${count(ties)} tied`,
    never: "never compared",
  },
  slices: {
    title: (name: string) => name || "(empty)",
    round: (name: string) => `Round ${name}`,
    none: "No comparisons have this key.",
    left: (n: number) => `and ${plural(n, "smaller slice")}`,
  },
};
