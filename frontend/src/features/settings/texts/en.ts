import type { Project, SkipWay } from "@/api/types";
import { plural } from "@/shared/format";

type State = Project["state"];
type Policy = Project["allocation_policy"];

const states: Record<State, { title: string; means: string; action: string; question: string }> = {
  active: {
    title: "Active",
    means: "Tasks are given out and answers taken.",
    action: "Make it active",
    question: "Make the project active?",
  },
  paused: {
    title: "Paused",
    means: "No task is given out. Whoever is at work on one may finish it.",
    action: "Pause it",
    question: "Pause the project?",
  },
  archived: {
    title: "Archived",
    means: "No task is given out and no answer taken. Everything stays readable and exportable.",
    action: "Archive it",
    question: "Archive the project?",
  },
};

const policies: Record<Policy, string> = {
  finish_started: "Tasks that somebody has answered already",
  fifo: "The oldest tasks",
};

const skipWays: Record<SkipWay, { title: string; means: string }> = {
  others: { title: "Leave it to others", means: "It goes to somebody else." },
  me: { title: "Later", means: "It comes back to the same person when nothing else is left." },
  drop: { title: "Drop it", means: "Nobody is asked any more." },
};

export const en = {
  title: "Settings",
  lead: "What holds for the project as a whole. Changes hold from the next task on.",
  save: "Save changes",
  general: "Name and guidelines",
  name: "Name",
  guidelines: "Guidelines",
  guidelinesHelp: "Markdown. Annotators open them with one key while they rank.",
  preview: "Preview",
  previewEmpty: "Nothing written yet. Say what makes one response better than another, with an example.",
  tasks: "Tasks",
  overlap: "Rankings per task",
  overlapHelp: "Holds for tasks made from now on; those there keep theirs.",
  lease: "Minutes to answer a task",
  leaseHelp: "Renewed while somebody is at work; afterwards the task goes to others and the draft stays.",
  policy: "What is given out first",
  policyHelp: "Within the same priority.",
  policies,
  max: "Answers in all",
  maxHelp: "Empty: as many as there are tasks.",
  maxDay: "Answers per day",
  maxDayHelp: "Days are counted in UTC.",
  noLimit: "no limit",
  skips: "What skipping a task may do",
  skipsHelp: "The first one is what skipping does unless the annotator chooses.",
  skipWays,
  skipFirst: "first choice",
  skipUpShort: "Make it the first",
  skipUp: (way: string) => `Make it the first: ${way}`,
  checks: "Checks",
  checksLead:
    "Tasks whose answer is known, mixed into the work without being told apart. Any task can be made one: on the Checks page you see those there are.",
  goldRate: "Gold tasks",
  attentionRate: "Attention checks",
  rateHelp: "Percent of an annotator’s tasks; both together at most 50.",
  minimum: "Minimum accuracy",
  minimumHelp: "Percent. Who falls under it is paused and told why. Empty: nobody is.",
  minimumAnswers: "Checks before anybody is judged",
  qualification: "Qualification",
  qualificationLead:
    "With a pass mark, a new annotator answers the qualification tasks first and ranks only after passing.",
  passMark: "Pass mark",
  passMarkHelp: "Percent, the mean over the qualification tasks. Empty: nobody has to qualify.",
  attempts: "Attempts",
  attemptsHelp: "A manager can grant one more on the members page.",
  attemptTasks: "Tasks of an attempt",
  attemptTasksHelp:
    "Whoever answers one is told what was right. With fewer than there are, another attempt begins with tasks not seen before. Empty: each attempt asks all.",
  allTasks: "all",
  noQualificationTasks:
    "There are no qualification tasks yet: with a pass mark alone, nobody is asked anything.",
  noChecks: "There are no such tasks yet, so none is mixed in. Make one from any task.",
  review: "Review",
  reviewBelow: "Reviewers see tasks with agreement below",
  reviewHelp: (share: string) =>
    `Percent of pairs on which their annotators say the same; 0 shows none. Two who differ in one pair of six agree by 83 %. Now ${share}.`,
  percent: "%",
  minutes: "min",
  seeChecks: "See the checks there are",
  notAsked: "not asked",
  state: "State",
  states,
  now: "now",
  cancel: "Cancel",
  effects: {
    active: (open: number) => `${plural(open, "open task")} can be given out again from now on.`,
    activeFromArchive:
      "What was answered by people who were excluded meanwhile is asked again, and answers are taken again.",
    paused: (open: number) =>
      `${plural(open, "open task")} ${open === 1 ? "is" : "are"} given out no more, until you make the project active again.`,
    pausedWork: "Whoever has a task on the desk may finish it; what was fetched ahead goes back at once.",
    archived:
      "Every task somebody has in hand goes back at once. Drafts stay, and are there when the project goes on.",
    archivedAnswers: "No answer, revision or review decision is taken any more. Nothing is deleted.",
    archivedBack: "It can be made active again at any time.",
  },
} as const;
