import { plural } from "@/shared/format";

export const en = {
  title: "Review",
  lead: (below: string) =>
    `Tasks on which annotators agree by less than ${below}, lowest first. Your decision stands above theirs.`,
  next: "Review the next one",
  looking: "Looking for disagreement",
  nothing: "Nothing waits for a decision",
  nothingWhy: (below: string) =>
    `A task comes here when two or more people ranked it and agree by less than ${below}.`,
  toDecide: (n: number) => `${plural(n, "task")} to decide`,
  decisions: (n: number) => plural(n, "decision"),
  prompt: "Prompt",
  agreement: "Agreement",
  rankings: "Rankings",
  openAt: "Open at",
  open: "Open",
  decidedBy: "Decided by",
  decideAnew: "Decide anew",
  conversationAndAnswers: "Conversation and answers",
  conversation: "Conversation",
  peopleSaid: (n: number) => `What ${plural(n, "person", "people")} said`,
  notNamed: "(not named)",
  rewrite: (text: string) => `Rewrite: ${text}`,
  decidedSo: (by: string, order: string) => `${by} decided: ${order}. A new decision takes its place.`,
  yourDecision: "Your decision",
  notAnswered: "Not answered yet",
  leaveOut: (n: number) => `Answer, or decide again to leave ${n === 1 ? "it" : "them"} out.`,
  notYours: "This task is no longer yours",
  decide: "Decide",
  leave: "Leave it",
  guidelines: "Guidelines",
};
