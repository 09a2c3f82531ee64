import { count, percent, plural } from "@/shared/format";

export const en = {
  title: "Leaderboard",
  lead: "Which model people prefer, by how much, and how sure that is.",
  computing: "Computing strengths",
  empty: {
    title: "No models to compare yet",
    text: "A model stands here once people have put its responses above or below another model’s. Responses need a model’s name: a file can bring it, and runs that sample give it by themselves.",
    action: "Import responses",
  },
  method: {
    label: "Method",
    bradley_terry: "Bradley–Terry",
    davidson: "Davidson",
    bradley_terryMeaning: "A tie counts as half a win for each.",
    davidsonMeaning: "A tie is an outcome of its own.",
    ties: (chance: number) => `Two equal models tie with a chance of ${percent(chance)}.`,
  },
  by: {
    label: "Slices",
    none: "none",
    round: "by round",
    split: "by split",
    metadata: "by metadata",
    key: "Key of the prompts’ metadata",
    keyHint: "For example topic or language.",
    go: "Slice",
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
    notTold: "can’t be told from the best",
    from: (low: string, high: string) => `${low} to ${high}`,
    meaning:
      "Strengths are log odds, centred on 0: a difference of 1 means that the stronger wins 73 times of 100. Intervals are from resampling tasks; where two of them overlap widely, the order is not settled.",
    left: (n: number) => `${plural(n, "model")} compared less often ${n === 1 ? "is" : "are"} left out.`,
  },
  groups: (n: number) =>
    `These models fall into ${count(n)} groups that were never compared with each other, not even by way of others. Strengths compare models within a group only; a task that shows models of two groups side by side would join them.`,
  levels:
    "Within a group, models of unlike level never won against each other in both directions, so how far apart they are is bounded from below only: a few more comparisons between them would settle it.",
  matrix: {
    title: "Who beat whom",
    table: "Wins, table",
    lead: "Of all pairs in which the two met, how often the row’s model was put above the column’s, a tie counting half.",
    cell: (one: string, other: string, wins: number, losses: number, ties: number) =>
      `${one} against ${other}: ${count(wins)} won, ${count(losses)} lost, ${count(ties)} tied`,
    never: "never met",
  },
  slices: {
    title: (name: string) => name || "(empty)",
    round: (name: string) => `Round ${name}`,
    none: "No comparison falls into a slice by this.",
    left: (n: number) => `and ${plural(n, "smaller slice")}`,
  },
};
