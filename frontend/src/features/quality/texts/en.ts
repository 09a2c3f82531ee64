import { count, percent, plural } from "@/shared/format";
import type { Reading } from "../reading";

export const en = {
  title: "Quality",
  lead: "Inter-annotator agreement, annotator reliability and bias.",
  computing: "Computing agreement",
  empty: {
    title: "Not enough data yet",
    action: "Set checks and rankings per task",
    text: "To measure agreement, set “Rankings per task” to 2 or more, or add gold tasks. This page then shows each annotator’s reliability, signs of random answers, and the tasks with the most disagreement.",
    unshared:
      "No task has been ranked by two annotators yet, so agreement cannot be measured. For new tasks, set “Rankings per task” to 2 or more.",
  },
  agreement: {
    title: "Agreement",
    shared: (tasks: number, pairs: number) =>
      `from ${plural(tasks, "task")} ranked by two or more annotators, ${plural(pairs, "pair of verdicts", "pairs of verdicts")}`,
    pairs: "pairwise agreement",
    pairsMeaning: "How often two annotators give the same verdict (better, worse or tied) on a pair.",
    nominal: "nominal α",
    nominalMeaning: "Krippendorff’s α of verdicts: 1 is perfect agreement, 0 is chance.",
    ordinal: "ordinal α",
    ordinalMeaning: "Krippendorff’s α of verdicts, with a tie halfway between better and worse.",
    tau: "Kendall’s τ-b",
    tauMeaning: "Rank correlation of two rankings of the same task, from −1 (reversed) to 1 (identical).",
    w: "Kendall’s W",
    wMeaning: "Concordance of all rankings of the same task, from 0 (no agreement) to 1 (identical).",
    ratingOrdinal: (scale: string) => `ordinal α of “${scale}”`,
    ratingInterval: (scale: string) => `interval α of “${scale}”`,
    ratingMeaning: (units: number) =>
      `Krippendorff’s α of ratings, from ${plural(units, "response")} rated by two or more annotators.`,
    intervalMeaning: "The bar shows the 95 % confidence interval, computed by resampling tasks.",
  },
  readings: {
    unknown: "Not enough data.",
    chance: "Not significantly better than chance.",
    low: "Better than chance, but the lower bound of the interval is below 0.667, Krippendorff’s minimum for tentative conclusions. Low agreement is common if the choice between good responses is a matter of taste. Collect more rankings per task, and check the disagreements below for unclear guidelines.",
    tentative:
      "The lower bound of the interval is at least 0.667, which is sufficient for tentative conclusions, but below 0.80, the minimum for firm conclusions.",
    reliable: "The lower bound of the interval is at least 0.80, which is sufficient for firm conclusions.",
  } satisfies Record<Reading, string>,
  overTime: {
    title: "Agreement over time",
    lead: "For each day (UTC), the pairwise agreement of that day’s rankings with other rankings of the same tasks.",
    few: "There is only one day of data so far.",
    table: "Show as table",
    day: "Day",
    agreement: "Agreement",
    pairs: "Pairs of verdicts",
    series: "pairwise agreement",
  },
  annotators: {
    title: "Annotators",
    table: "Annotators, table",
    agree: (share: number, pairs: number) =>
      `same verdict in ${percent(share)} of ${plural(pairs, "pair of verdicts", "pairs of verdicts")}`,
    most: (n: number) => `Showing the ${count(n)} most active annotators.`,
    columns: {
      username: ["Annotator", "Username, or the name in an imported file"],
      rankings: ["Rankings", "Number of rankings that count"],
      median_seconds: ["Median time", "Median time per task"],
      gold: ["Gold", "Mean score on tasks with a known answer"],
      agreement: ["Agreement", "Pairwise agreement with other annotators"],
      reliability: [
        "Reliability",
        "Estimated probability that a verdict is correct, computed from the verdicts of all annotators",
      ],
      first_shown: ["First shown", "Pairs won by the response shown first; 50 % means no bias"],
      longer: [
        "Longer",
        "Share of pairs won by the longer response; a high share does not necessarily indicate a bias, because longer responses may be better",
      ],
      as_shown: ["As shown", "Rankings identical to the order shown, and the share expected by chance"],
      outlier: [
        "Outlier p",
        "p-value of a test for lower agreement than that of other annotators, adjusted for multiple testing",
      ],
    },
    unfinished: "The reliability estimates are not final.",
    unfinishedMeaning: (steps: number) =>
      `The computation stopped at its limit of ${count(steps)} steps. The figures are the best estimates found. If annotators answer nearly at random or share few pairs, their verdicts contain little information about who is reliable. To improve the estimates, add shared tasks or tasks with a known answer.`,
    unlike: "outlier",
    leans: "biased",
    straight: "unchanged",
    byChance: (share: string) => `${share} by chance`,
    shared: (n: number) => plural(n, "shared pair"),
    gold: (n: number) =>
      plural(n, "answer to a task with a known answer", "answers to tasks with a known answer"),
    firstShown: "Pairs won by the response shown first",
    longer: "Pairs won by the longer response",
    exclude: "Exclude…",
    excludeWho: (name: string) => `Exclude ${name}`,
    rankingsOf: (name: string) => `Rankings by ${name}`,
  },
  matrix: {
    title: "Agreement by pair of annotators",
    table: "Agreement by pair of annotators, table",
    lead: "Pairwise agreement on the pairs that both annotators judged. A pale row means that one annotator disagrees with everyone. A single pale cell concerns only two annotators.",
    cell: (one: string, other: string, agreement: number, pairs: number) =>
      `${one} and ${other} agree on ${percent(agreement)} of ${plural(pairs, "shared pair")}`,
    none: "no shared pairs",
  },
  disagreement: {
    title: "Disagreement",
    waiting: (n: number) => (n === 1 ? "1 task to review" : `${count(n)} tasks to review`),
    lead: (below: number) => `Tasks with agreement below ${percent(below)}, lowest first.`,
    off: "Review is off: the threshold is 0.",
    none: "Nothing to review.",
    review: "Review",
    prompt: "Prompt",
    agreement: "Agreement",
    rankings: "Rankings",
    more: (n: number) => `and ${plural(n, "more task")}`,
  },
  thresholds: {
    title: "Automatic rules",
    review: (below: number) =>
      below > 0
        ? `Tasks with agreement below ${percent(below)} go to reviewers.`
        : "No tasks go to reviewers: the threshold is 0.",
    gold: (accuracy: number, answers: number) =>
      `After ${plural(answers, "answer")} to gold and attention tasks, annotators with an accuracy below ${percent(accuracy)} are paused and see the reason.`,
    noGold: "No minimum accuracy is set, so nobody is paused automatically.",
    mixed: (gold: number, attention: number) =>
      `Of an annotator’s tasks, ${percent(gold)} are gold tasks and ${percent(attention)} are attention checks.`,
    outlier: "Nobody is excluded automatically. You decide whom to exclude, and you can undo each exclusion.",
  },
  exclusions: {
    title: "Excluded",
    table: "Exclusions, table",
    none: "Nobody is excluded. The rankings of an excluded annotator are kept but no longer count. You see the effect of an exclusion before you confirm it.",
    who: "Who",
    why: "Why",
    since: "Since",
    by: "By",
    state: "Now",
    stands: "excluded",
    lifted: (by: string) => (by ? `restored by ${by}` : "restored"),
    restore: "Restore…",
    restoreWho: (name: string) => `Restore ${name}`,
  },
  excludeDialog: {
    title: (name: string) => `Exclude ${name}?`,
    changes: "Effect",
    nothing: "None of this annotator’s rankings count, so nothing would change.",
    rankings: (n: number) => `${plural(n, "ranking")} would no longer count`,
    comparisons: (n: number) =>
      `${plural(n, "comparison")} would be removed from statistics, leaderboards and new snapshots`,
    reviews: (n: number) => `${plural(n, "review decision")} would no longer count`,
    reopening: (n: number) => `${plural(n, "finished task")} would be reopened`,
    leases: (n: number) => `${plural(n, "task")} assigned to this annotator would be released`,
    snapshots: (n: number) =>
      `${plural(n, "snapshot")} frozen since this annotator’s first ranking ${n === 1 ? "stays" : "stay"} unchanged and may contain rankings by this annotator`,
    paused:
      "The annotator will be paused and asked to contact a manager. Nothing is deleted. If you restore the annotator, their rankings and review decisions count again.",
    reason: "Reason",
    reasonHint: "The reason is recorded with your name.",
    confirm: "Exclude",
    cancel: "Cancel",
  },
  liftDialog: {
    title: (name: string) => `Restore ${name}?`,
    rankings: (n: number) => `${plural(n, "ranking")} would count again`,
    comparisons: (n: number) =>
      `${plural(n, "comparison")} would return to statistics, leaderboards and new snapshots`,
    reviews: (n: number) => `${plural(n, "review decision")} would count again`,
    grown: (n: number) =>
      `${plural(n, "task")} would ${n === 1 ? "" : "each "}get one more ranking than required, because ${n === 1 ? "another annotator has ranked or claimed it" : "other annotators have ranked or claimed them"} in the meantime`,
    nothing: "This annotator has no rankings that would count again.",
    confirm: "Restore",
  },
  bias: {
    title: "Bias",
    first: "response shown first wins",
    firstMeaning: "Responses are shuffled for each annotator, so 50 % means no bias.",
    longer: "longer response wins",
    longerMeaning:
      "If the share is above 50 %, the longer response wins more often. Before you correct for length, check whether the longer responses are also better.",
    even: "No significant bias.",
    leans: "Significant bias.",
  },
  /** The texts for the same biases on the leaderboard page. */
  boardBias: {
    title: "Possible bias",
    first: "the response shown first wins",
    firstMeaning:
      "Responses are shuffled for each annotator. This bias therefore adds noise but favours no model.",
    longer: "the longer response wins",
    longerMeaning:
      "Models with longer responses benefit from this bias, even if their responses are not better. Compare the models’ response lengths before you trust a narrow lead.",
    even: "No significant bias.",
    leans: "Significant bias.",
    more: "More on the Quality page",
  },
};
