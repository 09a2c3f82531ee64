import { count, percent, plural } from "@/shared/format";

export const en = {
  title: "Leaderboard",
  lead: "The strength of each model in pairwise comparisons, with confidence intervals.",
  computing: "Computing strengths",
  empty: {
    title: "No models to compare yet",
    text: "Models appear here when their responses have been ranked against each other. Each response needs a model name. Import files can contain model names, and sample runs add model names automatically.",
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
    chance: "Beats best model",
    won: "Won",
    lost: "Lost",
    tied: "Tied",
    best: "best",
    notTold: "not significantly different from the best model",
    from: (low: string, high: string) => `${low} to ${high}`,
    meaning:
      "Strengths are log odds, centred at 0. If two strengths differ by 1, the stronger model wins 73 % of comparisons. Intervals are computed by resampling tasks. If two intervals overlap widely, the order of the two models is uncertain.",
    left: (n: number) =>
      `${plural(n, "model")} with fewer comparisons than those in the table ${n === 1 ? "is" : "are"} not shown.`,
  },
  groups: (n: number) =>
    `These models form ${count(n)} groups. Models in different groups have never been compared, directly or indirectly. Strengths are comparable only within a group. A task with responses from two groups would connect these groups.`,
  levels:
    "The models in a group fall into levels. A model on a higher level has won every comparison with models on lower levels. Therefore, only a lower bound is known for the difference in strength between two levels. To measure the difference, collect more comparisons between the levels.",
  unfinished: {
    title: "The strengths are not final.",
    meaning: (steps: number) =>
      `The computation stopped at its limit of ${count(steps)} steps. The strengths and intervals are the best estimates found. The computation can reach its limit if a model wins nearly all of a large number of comparisons.`,
  },
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
    none: "No prompt with compared responses has this metadata key.",
    left: (n: number) => `and ${plural(n, "smaller slice")}`,
  },
};
