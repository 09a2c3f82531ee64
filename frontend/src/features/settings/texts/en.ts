import type { Project, SkipWay } from "@/api/types";
import { plural } from "@/shared/format";

type State = Project["state"];
type Policy = Project["allocation_policy"];

const states: Record<State, { title: string; means: string; action: string; question: string }> = {
  active: {
    title: "Active",
    means: "Tasks are assigned and answers are accepted.",
    action: "Activate",
    question: "Activate the project?",
  },
  paused: {
    title: "Paused",
    means: "No new tasks are assigned. Annotators can finish the task they have open.",
    action: "Pause",
    question: "Pause the project?",
  },
  archived: {
    title: "Archived",
    means: "No tasks are assigned and no answers are accepted. All data can still be read and exported.",
    action: "Archive",
    question: "Archive the project?",
  },
};

const policies: Record<Policy, string> = {
  finish_started: "Started tasks first",
  fifo: "Oldest tasks first",
};

const skipWays: Record<SkipWay, { title: string; means: string }> = {
  others: { title: "Leave it to others", means: "Another annotator gets the task." },
  me: { title: "Later", means: "The same annotator gets the task again when no other tasks are left." },
  drop: { title: "Drop it", means: "No annotator gets the task again." },
};

export const en = {
  title: "Settings",
  lead: "These settings apply to the whole project. Unless stated otherwise, changes take effect with the next assigned task.",
  save: "Save changes",
  general: "Name and guidelines",
  name: "Name",
  guidelines: "Guidelines",
  guidelinesHelp:
    "Written in Markdown. Annotators open the guidelines with one key while they rank. At most 100,000 characters.",
  preview: "Preview",
  previewEmpty: "No guidelines yet. Explain what makes one response better than another, with an example.",
  tasks: "Tasks",
  overlap: "Rankings per task",
  overlapHelp: "Applies to new tasks only.",
  lease: "Minutes to answer a task",
  leaseHelp:
    "The time is extended while the annotator is working. When the time is up, other annotators can get the task. The draft is kept.",
  policy: "Task order",
  policyHelp: "Applies to tasks of the same priority.",
  policies,
  max: "Maximum answers in total",
  maxHelp: "Leave empty for no limit.",
  maxDay: "Maximum answers per day",
  maxDayHelp: "Days are counted in UTC.",
  noLimit: "no limit",
  skips: "Options for skipped tasks",
  skipsHelp: "The first option is the default.",
  skipWays,
  skipFirst: "default",
  skipUpShort: "Make default",
  skipUp: (way: string) => `Make default: ${way}`,
  checks: "Checks",
  checksLead:
    "Tasks with a known answer. Annotators get these tasks among other tasks and cannot recognise them. You can turn any task into a check. The Checks page lists all checks.",
  goldRate: "Gold tasks",
  attentionRate: "Attention checks",
  rateHelp: "Percent of an annotator’s tasks. Gold tasks and attention checks can total at most 50 %.",
  minimum: "Minimum accuracy",
  minimumHelp:
    "In percent. Annotators with a lower accuracy are paused automatically and see the reason. Leave empty for no minimum.",
  minimumAnswers: "Number of checks before the minimum applies",
  qualification: "Qualification",
  qualificationLead:
    "With a pass mark, new annotators must pass the qualification tasks before they can rank.",
  passMark: "Pass mark",
  passMarkHelp:
    "The minimum mean score on the qualification tasks, in percent. Leave empty if no qualification is required.",
  attempts: "Attempts",
  attemptsHelp: "Managers can grant another attempt on the Members page.",
  attemptTasks: "Tasks per attempt",
  attemptTasksHelp:
    "Annotators see the correct answer after each task. If the project has more qualification tasks than one attempt contains, the next attempt starts with new tasks. If this field is empty, each attempt contains all tasks.",
  allTasks: "all",
  noQualificationTasks: "There are no qualification tasks yet, so the pass mark has no effect.",
  noChecks: "There are no checks of this kind yet. You can turn any task into a check.",
  review: "Review",
  reviewBelow: "Reviewers see tasks with agreement below",
  reviewHelp: (share: string) =>
    `Percent of pairs on which annotators agree. The value 0 turns review off. If two annotators differ on one of six pairs, their agreement is 83 %. Current value: ${share}.`,
  percent: "%",
  minutes: "min",
  seeChecks: "View checks",
  notAsked: "not set",
  state: "State",
  states,
  now: "current",
  cancel: "Cancel",
  effects: {
    active: (open: number) => `${plural(open, "open task")} can be assigned again.`,
    activeFromArchive:
      "Answers are accepted again. Tasks answered by annotators who were excluded in the meantime are reopened.",
    paused: (open: number) =>
      `${plural(open, "open task")} will not be assigned until you activate the project again.`,
    pausedWork:
      "Annotators can finish the task they have open. Tasks assigned in advance are released immediately.",
    archived:
      "All assigned tasks are released immediately. Drafts are kept and will be available when the project is activated again.",
    archivedAnswers: "No answers, revisions or review decisions are accepted. Nothing is deleted.",
    archivedBack: "You can activate the project again at any time.",
  },
} as const;
