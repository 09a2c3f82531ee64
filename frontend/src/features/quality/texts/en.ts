import { count, percent, plural } from "@/shared/format";
import type { Reading } from "../reading";

export const en = {
  title: "Quality",
  lead: "Whether people agree, how reliable each of them is, and what besides quality sways them.",
  computing: "Computing agreement",
  empty: {
    title: "Nothing to judge by yet",
    action: "Rankings per task and checks",
    text: "Agreement needs tasks that two or more people ranked. Set the overlap to 2 or more, or mix in gold tasks: then this page says who is reliable, who answers at random, and which tasks people can't agree on.",
    unshared:
      "People have ranked, but no two of them the same task, so nothing can be said of agreement. Raise the project’s overlap for the tasks to come.",
  },
  agreement: {
    title: "Agreement",
    shared: (tasks: number, pairs: number) =>
      `from ${plural(tasks, "task")} that two or more people ranked, ${plural(pairs, "shared verdict")}`,
    pairs: "say the same of a pair",
    pairsMeaning: "Two people, one pair of responses: how often both say better, worse or tied.",
    nominal: "α nominal",
    nominalMeaning: "Krippendorff’s α of verdicts: 1 is perfect, 0 is what chance gives.",
    ordinal: "α ordinal",
    ordinalMeaning: "The same, a tie counting as halfway between better and worse.",
    tau: "Kendall’s τ-b",
    tauMeaning: "Of two whole rankings of one task, from −1 (reversed) to 1 (the same).",
    w: "Kendall’s W",
    wMeaning: "Of all rankings of one task, from 0 (no common order) to 1 (one order).",
    ratingOrdinal: (scale: string) => `α ordinal of “${scale}”`,
    ratingInterval: (scale: string) => `α interval of “${scale}”`,
    ratingMeaning: (units: number) =>
      `Of ratings, from ${plural(units, "response")} that two or more people rated.`,
    intervalMeaning:
      "The bar is the 95 % interval, from resampling tasks: how far the figure may be from what all tasks of this kind would give.",
  },
  readings: {
    unknown: "There is nothing to estimate from.",
    chance: "This can’t be told from chance yet.",
    low: "Better than chance, under the 0.667 that Krippendorff asks for before concluding anything. Where good responses differ by taste that is usual: ask more people per task, and look at the disagreements below for unclear guidelines.",
    tentative: "Enough for tentative conclusions (0.667), short of the 0.80 for firm ones.",
    reliable: "At or above 0.80, by the whole interval: firm conclusions can rest on it.",
  } satisfies Record<Reading, string>,
  overTime: {
    title: "Agreement over time",
    lead: "Of each day’s rankings (UTC), how often they say the same as others’ on their tasks.",
    few: "One day so far; a line needs two.",
    table: "Show the figures",
    day: "Day",
    agreement: "Agreement",
    pairs: "Shared verdicts",
    series: "say the same of a pair",
  },
  annotators: {
    title: "Annotators",
    table: "Annotators, table",
    agree: (share: number, pairs: number) => `agree on ${percent(share)} of ${plural(pairs, "shared pair")}`,
    most: (n: number) => `The ${count(n)} who ranked most are shown.`,
    columns: {
      username: ["Annotator", "Account, or the name in an imported file"],
      rankings: ["Rankings", "That stand"],
      median_seconds: ["Median time", "Per task"],
      gold: ["Gold", "Mean score on tasks whose answer is known"],
      agreement: ["Agreement", "How often others said the same of a pair"],
      reliability: ["Reliability", "Chance that a verdict is right, judged from all who shared the pair"],
      first_shown: ["First shown", "Pairs won by the response shown first; half is no bias"],
      longer: ["Longer", "Pairs won by the longer response; longer may also be better"],
      as_shown: ["As shown", "Rankings that are exactly the order shown, and how many would be by chance"],
      outlier: [
        "Outlier p",
        "Chance of agreeing so little while being like the others, adjusted for testing everybody",
      ],
    },
    unlike: "unlike the others",
    leans: "leans",
    straight: "as shown",
    byChance: (share: string) => `${share} by chance`,
    shared: (n: number) => plural(n, "shared pair"),
    gold: (n: number) =>
      plural(n, "answer to a task whose answer is known", "answers to tasks whose answer is known"),
    firstShown: "Pairs won by the response shown first",
    longer: "Pairs won by the longer response",
    exclude: "Exclude…",
    excludeWho: (name: string) => `Exclude ${name}`,
    rankingsOf: (name: string) => `Rankings of ${name}`,
  },
  matrix: {
    title: "Who agrees with whom",
    table: "Agreement of every two annotators, table",
    lead: "How often the two say the same of a pair that both judged. Somebody pale along a whole row sees things differently from everybody; two pale cells alone are a matter between two people.",
    cell: (one: string, other: string, agreement: number, pairs: number) =>
      `${one} and ${other} agree on ${percent(agreement)} of ${plural(pairs, "shared pair")}`,
    none: "nothing shared",
  },
  disagreement: {
    title: "Disagreement",
    waiting: (n: number) =>
      n === 1 ? "1 task waits for a decision" : `${count(n)} tasks wait for a decision`,
    lead: (below: number) => `Tasks on which annotators agree by less than ${percent(below)}, lowest first.`,
    off: "Review is off: the project’s threshold is 0.",
    none: "Nothing waits for a decision.",
    review: "Review them",
    prompt: "Prompt",
    agreement: "Agreement",
    rankings: "Rankings",
    more: (n: number) => `and ${plural(n, "more task")}`,
  },
  thresholds: {
    title: "What this project acts on",
    review: (below: number) =>
      below > 0
        ? `Tasks with agreement under ${percent(below)} go to reviewers.`
        : "No task goes to reviewers: the threshold is 0.",
    gold: (accuracy: number, answers: number) =>
      `Who scores under ${percent(accuracy)} on gold and attention tasks, after ${plural(answers, "answer")}, is paused and told why.`,
    noGold: "Nobody is paused by accuracy: no minimum is set.",
    mixed: (gold: number, attention: number) =>
      `Of an annotator’s tasks, ${percent(gold)} are gold tasks and ${percent(attention)} attention checks.`,
    outlier: "Nobody is excluded by a figure: excluding is your decision, and can be undone.",
  },
  exclusions: {
    title: "Excluded",
    table: "Exclusions, table",
    none: "Nobody is excluded. Excluding somebody keeps their rankings and counts none of them; you see what it changes first.",
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
    changes: "What it changes",
    nothing: "Nothing of theirs counts now, so nothing would change.",
    rankings: (n: number) => `${plural(n, "ranking")} would no longer count`,
    comparisons: (n: number) =>
      `${plural(n, "comparison")} would leave the figures, boards and new snapshots`,
    reviews: (n: number) => `${plural(n, "reviewer’s decision")} would no longer count`,
    reopening: (n: number) => `${plural(n, "finished task")} would be asked again`,
    leases: (n: number) => `${plural(n, "task")} in hand would be given back`,
    snapshots: (n: number) =>
      `${plural(n, "snapshot")} frozen since their first ranking ${n === 1 ? "stays as it is and may hold some of theirs" : "stay as they are and may hold some of theirs"}`,
    paused: "They are paused and told to ask a manager. Nothing is deleted; restoring undoes all of it.",
    reason: "Why",
    reasonHint: "Kept in the history with your name.",
    confirm: "Exclude",
    cancel: "Cancel",
  },
  liftDialog: {
    title: (name: string) => `Restore ${name}?`,
    rankings: (n: number) => `${plural(n, "ranking")} would count again`,
    comparisons: (n: number) =>
      `${plural(n, "comparison")} would be back in the figures, boards and new snapshots`,
    reviews: (n: number) => `${plural(n, "reviewer’s decision")} would count again`,
    grown: (n: number) =>
      `${plural(n, "task")} whose slot somebody filled meanwhile would want one answer more: both stay`,
    nothing: "They have no ranking that would count again.",
    confirm: "Restore",
  },
  bias: {
    title: "What sways people",
    first: "first shown wins",
    firstMeaning: "Responses are shuffled for each person, so without bias this is 50 %.",
    longer: "longer one wins",
    longerMeaning:
      "Above 50 %: longer responses win more. Longer may also be better; look before correcting.",
    even: "50 % lies within the interval: no bias can be told.",
    leans: "50 % lies outside the interval.",
  },
  /** The same biases, as a leaderboard shows them beside its models. */
  boardBias: {
    title: "What besides quality may sway this",
    first: "the first shown wins",
    firstMeaning: "Responses are shuffled for each person, so this can’t favour a model; it adds noise.",
    longer: "the longer one wins",
    longerMeaning:
      "A model that writes longer gains from this, whether or not longer is better. Compare lengths before trusting a narrow lead.",
    even: "50 % lies within the interval.",
    leans: "50 % lies outside the interval.",
    more: "More on the Quality page",
  },
};
