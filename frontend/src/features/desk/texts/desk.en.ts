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
  answerOrLeaveOut: (n: number) => `Answer, or submit again to leave ${n === 1 ? "it" : "them"} out.`,
  notSubmitted: (open: string) => `Not submitted yet. Not answered: ${open}.`,
  submitAnswer: "Submit answer",
  submitRanking: "Submit ranking",
  skip: "Skip",
  keys: "Keys",

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
