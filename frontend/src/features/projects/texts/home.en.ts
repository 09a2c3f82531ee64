import { count, plural } from "@/shared/format";

const tasks = (n: number) => plural(n, "task");
const rankings = (n: number) => plural(n, "ranking");

/** The list of projects and a project's overview: what annotators see too. */
export const en = {
  title: "Projects",
  loading: "Loading projects",
  newProject: "New project",
  roles: { annotator: "annotator", reviewer: "reviewer", manager: "manager", admin: "admin" },
  states: { active: "active", paused: "paused", archived: "archived" },
  toSettle: (n: number) => `${plural(n, "report")} to settle`,
  tasksOf: (project: string) => `${project}: tasks done`,
  noneYet: "no tasks yet",
  done: (n: number, of: number) => `${count(n)} of ${tasks(of)} done`,
  rankings,
  rank: "Rank",
  first: "Make the first project",
  firstText:
    "A project holds prompts and the responses to rank, what annotators are asked about them, and the models trained from their answers.",
  none: "You are in no project yet",
  noneText: (username: string) =>
    `A manager adds you to a project by your username, ${username}. It then shows here.`,

  wanted: (overlap: number) => `${rankings(overlap)} wanted for each task.`,
  doneAndWanted: (n: number, of: number, overlap: number) =>
    `${count(n)} of ${tasks(of)} done, ${rankings(overlap)} wanted for each.`,
  noTasks: "No tasks yet.",
  pausedTitle: "You are paused in this project",
  pausedText: "You are given no tasks until a manager lets you go on.",
  tasksDone: "Tasks done",
  next: "What to do next",
  steps: {
    import: {
      title: "Bring in something to rank",
      text: "Drop a file of prompts with responses on the Data page. Formats are recognised, and every line that can’t be used is named with its reason.",
      action: "Import data",
    },
    train: {
      title: "Close the loop",
      text: (n: number, comparisons: number) =>
        `${rankings(n)} give ${plural(comparisons, "comparison")} to learn from. A reward model turns them into a score, and the score improves the policy.`,
      action: "Train a reward model",
    },
    improve: {
      title: "Improve the policy",
      text: (rewardModel: string) =>
        `The reward model ${rewardModel} has learned from the rankings. A policy gets better by what it scores high.`,
      action: "Run PPO",
    },
    ask: {
      title: "Let the improved policy answer",
      text: (policy: string) => `What ${policy} says to prompts becomes the next tasks to rank.`,
      action: "Sample responses",
    },
    watch: {
      title: "A run is under way",
      text: "Its page shows how it goes; what comes next is said here when it has ended.",
      action: "Watch it",
    },
    rank: {
      title: "Rank your first task",
      goOn: "Go on ranking",
      text: (open: number | null) =>
        `${open === null ? "Tasks wait" : `${tasks(open)} ${open === 1 ? "waits" : "wait"}`}. You put the responses to a prompt in order, best first; every key is shown by pressing ?.`,
      action: "Start ranking",
    },
    invite: {
      title: "Invite people to rank",
      text: (open: number, overlap: number) =>
        `${tasks(open)} ${open === 1 ? "is" : "are"} open, and each wants ${rankings(overlap)}.`,
      action: "Add members",
    },
    sample: {
      title: "Ask for new responses",
      text: "Everything is ranked. Let a policy answer prompts: its answers become the next tasks.",
      action: "Sample responses",
    },
  },
  perDay: "Rankings per day",
  onDay: (day: string, n: number) => `${day}: ${rankings(n)}`,
  atMost: (n: number) => `at most ${count(n)} a day`,
  counts: {
    prompts: "prompts",
    responses: "responses",
    open: "open tasks",
    rankings: "rankings",
    comparisons: "comparisons",
    mine: "ranked by you",
    byAll: "rankings by all",
  },
  guidelines: "Guidelines",
  guidelinesField: "Guidelines, in Markdown",
  noGuidelines: "None written.",
  writeSome: "Two paragraphs on what makes a response better save many disagreements.",
  edit: "Edit",
  save: "Save",
  cancel: "Cancel",
};
