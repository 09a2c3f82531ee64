import { count, plural } from "@/shared/format";

/** The task on the desk, its questions and dialogs, and what stands there when there is no task. */
export const en = {
  title: "Rank",
  rank: "Rank the responses",
  conversation: "Conversation",
  raw: "Raw text",
  guidelines: "Guidelines",
  noGuidelines:
    "This project has no written guidelines. Rank by which response you would rather have received.",
  yourAnswer: "Your answer",
  yourRanking: "Your ranking",
  undo: "Undo",
  notComparable: "Not comparable",
  notChosen: "Not chosen yet",
  notAnswered: "Not answered yet",
  mayStayOpen: "(may stay open)",
  answerOrLeaveOut: (n: number) => `Answer, or submit again to leave ${n === 1 ? "it" : "them"} out.`,
  notSubmitted: (open: string) => `Not submitted yet. Not answered: ${open}.`,
  submitAnswer: "Submit answer",
  submitRanking: "Submit ranking",
  skip: "Skip",
  keys: "Keys",

  gaps: {
    better: "which response is better",
    more: (n: number) => `${n} more to rank`,
    strength: "how much better the best response is",
    rating: (scale: string, letters: string) => `${scale} of ${letters}`,
    confidence: "how sure you are",
  },

  required: "required",
  numberBetween: (asked: string, min: number, max: number) => `${asked}, ${min} to ${max}`,
  howMuchBetter: "How much better is the best?",
  howSure: "How sure are you?",
  allBadMeans: {
    asked: "The order counts all the same.",
    none: "No order is taken then.",
    tied: "It counts as a tie of all.",
  },
  notComparableBox: "These can’t be compared",
  notRankableBox: "These can’t be ranked",
  notRankableMeans: "The prompt makes no sense, or no order would be honest.",
  rewriteMeans: "What the model should have said, if none is good enough.",
  startFromBest: "Start from the best response",
  flagsOf: (letter: string) => `Flags of response ${letter}`,

  untouchedTitle: "You have not changed the order",
  untouched: "Submit it as your answer?",
  untouchedWhy: "The responses were shown in random order, so this is rarely the order you want.",
  keepRanking: "Keep ranking",
  submitThisOrder: "Submit this order",

  skipTitle: "Skip this task",
  skipTask: "Skip task",
  skipSayWhy: "Say why, so that unusable prompts can be found.",
  skipAnd: "And the task",
  skipReason: "Reason",
  skipReasons: {
    topic: "I can't judge this topic",
    nonsense: "The prompt makes no sense",
    language: "It is in a language I don't read",
    upsetting: "It is harmful or upsetting",
  },
  skipWays: {
    me: { label: "Show it to me later", says: "You will get it again when nothing else is left for you." },
    others: { label: "Leave it to others", says: "Somebody else will get it; you will not see it again." },
    drop: { label: "Drop it", says: "Nobody will be asked to rank it any more." },
  },

  rankedAll: "You have ranked everything there is for you",
  nothingYet: "There is nothing to rank yet",
  lookAgain: "Look again",
  overview: "Project overview",
  stopped: {
    active: "",
    paused: "This project is paused. Ranking goes on when a manager makes it active again.",
    archived: "This project is archived. Ranking goes on when a manager makes it active again.",
  },
  mine: (n: number) => `${plural(n, "ranking")} of yours so far.`,
  wanted: (overlap: number) =>
    `Each task wants ${plural(overlap, "ranking")} from ${overlap === 1 ? "one person" : "different people"}, and nobody is asked the same one twice.`,
  newTasks:
    "New tasks arrive when a manager imports responses on the Data page, or an admin lets a model answer prompts.",
  others: (open: number, tasks: number) =>
    `${count(open)} of ${plural(tasks, "task")} still ${open === 1 ? "waits" : "wait"} for others.`,
  comesBack: "A task somebody skips or leaves comes back here.",
  looksAgain: "This page looks for new work by itself.",
  none: {
    "project-not-active": "This project gives out no tasks at present",
    "annotator-paused": "You are paused in this project",
    "annotator-excluded": "You are excluded from this project",
    "qualification-failed": "You did not qualify for this project",
    "cap-reached": "You have done your share of this project",
    "daily-cap-reached": "That was all for today",
  },
};
