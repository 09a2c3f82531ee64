import { count, plural } from "@/shared/format";

/** UI texts for the task on the desk, the task's questions and dialogs, and the desk without a task. */
export const en = {
  title: "Rank",
  rank: "Rank the responses",
  conversation: "Conversation",
  raw: "Raw text",
  guidelines: "Guidelines",
  noGuidelines:
    "This project has no written guidelines. Ask yourself which response you would rather have received.",
  yourAnswer: "Your answer",
  yourRanking: "Your ranking",
  undo: "Undo",
  notComparable: "Not comparable",
  notChosen: "Not chosen yet",
  answerOrLeaveOut: (n: number) =>
    `Answer ${n === 1 ? "this question" : "these questions"}, or submit again to skip ${n === 1 ? "it" : "them"}.`,
  notSubmitted: (open: string) => `Not submitted yet. Unanswered: ${open}.`,
  submitAnswer: "Submit answer",
  submitRanking: "Submit ranking",
  skip: "Skip",
  keys: "Shortcuts",

  untouchedTitle: "You have not changed the order",
  untouched: "Submit this order as your answer?",
  untouchedWhy: "The responses were shown in random order, so this is rarely the order you want.",
  keepRanking: "Keep ranking",
  submitThisOrder: "Submit this order",

  skipTitle: "Skip this task",
  skipTask: "Skip task",
  skipSayWhy: "Your reason helps us find unusable prompts.",
  skipAnd: "What should happen to this task?",
  skipReason: "Reason",
  skipReasons: {
    topic: "I can't judge this topic",
    nonsense: "The prompt makes no sense",
    language: "The text is in a language I don't read",
    upsetting: "The content is harmful or upsetting",
  },
  skipWays: {
    me: { label: "Show it to me later", says: "You will get the task again when you have no other tasks." },
    others: {
      label: "Leave it to others",
      says: "Someone else will get this task. You will not see it again.",
    },
    drop: { label: "Drop it", says: "Nobody will be asked to rank this task again." },
  },

  rankedAll: "You have ranked all your tasks",
  nothingYet: "There is nothing to rank yet",
  lookAgain: "Refresh",
  overview: "Project overview",
  stopped: {
    active: "",
    paused: "This project is paused. You can continue when a manager reactivates it.",
    archived: "This project is archived. You can continue when a manager reactivates it.",
  },
  mine: (n: number) => `You have submitted ${plural(n, "ranking")} so far.`,
  wanted: (overlap: number) =>
    `Each task needs ${plural(overlap, "ranking")} from ${overlap === 1 ? "one annotator" : "different annotators"}, and nobody ranks the same task twice.`,
  newTasks: "New tasks appear when a manager imports responses or an admin samples responses from a model.",
  others: (open: number, tasks: number) =>
    `${count(open)} of ${plural(tasks, "task")} ${open === 1 ? "is" : "are"} waiting for other annotators.`,
  comesBack: "Skipped tasks will reappear here.",
  looksAgain: "This page checks for new tasks automatically.",
  none: {
    "project-not-active": "This project is not assigning tasks at the moment",
    "annotator-paused": "Your participation in this project is paused",
    "annotator-excluded": "You are excluded from this project",
    "qualification-failed": "You did not qualify for this project",
    "cap-reached": "You have reached your limit in this project",
    "daily-cap-reached": "You have reached your limit for today",
  },
};
