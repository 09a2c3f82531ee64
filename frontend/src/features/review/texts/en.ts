import { plural } from "@/shared/format";

export const en = {
  title: "Review",
  lead: (below: string) =>
    `Tasks with agreement below ${below}, lowest first. Your decision takes precedence over the annotators’ rankings.`,
  next: "Review next task",
  looking: "Loading tasks to review",
  nothing: "Nothing to review",
  nothingWhy: (below: string) =>
    `A task appears here when two or more annotators have ranked it and their agreement is below ${below}.`,
  toDecide: (n: number) => `${plural(n, "task")} to decide`,
  decisions: (n: number) => plural(n, "decision"),
  prompt: "Prompt",
  agreement: "Agreement",
  rankings: "Rankings",
  openAt: "Opened by",
  open: "Open",
  decidedBy: "Decided by",
  decideAnew: "Change decision",
  conversationAndAnswers: "Conversation and answers",
  conversation: "Conversation",
  peopleSaid: (n: number) => `Answers from ${plural(n, "annotator")}`,
  notNamed: "(unnamed)",
  rewrite: (text: string) => `Rewrite: ${text}`,
  decidedSo: (by: string, order: string) => `${by} decided: ${order}. A new decision replaces this one.`,
  yourDecision: "Your decision",
  leaveOut: (n: number) =>
    `Answer ${n === 1 ? "this question" : "these questions"}, or decide again to skip ${n === 1 ? "it" : "them"}.`,
  notYours: "This task is no longer assigned to you",
  decide: "Decide",
  leave: "Leave",
  guidelines: "Guidelines",
  said: {
    notRankable: "Not rankable",
    noOrder: "No order",
    allBad: "All bad",
    orderAllBad: (order: string) => `${order}, all bad`,
    bestIs: (degree: string) => `The best response is ${degree.toLowerCase()}`,
    bestBy: (degree: number) => `The best response is better by ${degree}`,
    confidence: (level: string) => `Confidence: ${level}`,
    flagged: (letter: string, flags: string) => `${letter} is flagged: ${flags}`,
  },
};
