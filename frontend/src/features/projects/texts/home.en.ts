import { count, plural } from "@/shared/format";

const tasks = (n: number) => plural(n, "task");
const rankings = (n: number) => plural(n, "ranking");

/** UI texts for the project list and the project overview. Annotators also see these pages. */
export const en = {
  title: "Projects",
  loading: "Loading projects",
  newProject: "New project",
  roles: { annotator: "annotator", reviewer: "reviewer", manager: "manager", admin: "admin" },
  states: { active: "active", paused: "paused", archived: "archived" },
  toSettle: (n: number) => `${plural(n, "report")} to resolve`,
  tasksOf: (project: string) => `${project}: tasks done`,
  noneYet: "no tasks yet",
  done: (n: number, of: number) => `${count(n)} of ${tasks(of)} done`,
  rankings,
  rank: "Rank",
  first: "Create your first project",
  firstText:
    "A project contains prompts and the responses to rank, the questions for annotators, and the models trained on the answers.",
  none: "You are not a member of any project yet",
  noneText: (username: string) =>
    `A project appears here when its manager adds you. Your username is ${username}.`,

  wanted: (overlap: number) => `${rankings(overlap)} per task.`,
  doneAndWanted: (n: number, of: number, overlap: number) =>
    `${count(n)} of ${tasks(of)} done, ${rankings(overlap)} per task.`,
  noTasks: "No tasks yet.",
  pausedTitle: "Your participation in this project is paused",
  pausedText: "You will get no tasks until a manager ends the pause.",
  tasksDone: "Tasks done",
  next: "Next step",
  steps: {
    import: {
      title: "Import data to rank",
      text: "Drop a file with prompts and responses on the Data page. The format is recognised automatically, and each invalid row is listed with the reason.",
      action: "Import data",
    },
    train: {
      title: "Close the loop",
      text: (n: number, comparisons: number) =>
        `${rankings(n)} ${n === 1 ? "yields" : "yield"} ${plural(comparisons, "comparison")}. A reward model trained on these comparisons can score responses. The scores are then used to improve the policy.`,
      action: "Train a reward model",
    },
    improve: {
      title: "Improve the policy",
      text: (rewardModel: string) =>
        `The reward model ${rewardModel} has been trained on the rankings. Use this reward model to improve the policy.`,
      action: "Run PPO",
    },
    ask: {
      title: "Sample from the improved policy",
      text: (policy: string) => `New tasks are created from the responses of ${policy}.`,
      action: "Sample responses",
    },
    watch: {
      title: "A run is in progress",
      text: "Follow the run on its page. The next step will appear here when the run ends.",
      action: "View run",
    },
    round: {
      title: (round: number) => `Round ${round} of the training loop is running`,
      text: "Follow the steps on the Loop page.",
      action: "Open the loop",
    },
    collect: {
      title: "The training loop is on",
      text: (collected: number, needed: number) =>
        `The loop starts its next round after ${plural(needed, "new comparison")}. So far, there ${collected === 1 ? "is" : "are"} ${count(collected)}.`,
      action: "Open the loop",
    },
    rank: {
      title: "Rank your first task",
      goOn: "Continue ranking",
      text: (open: number | null) =>
        `${open === null ? "Tasks are waiting" : `${tasks(open)} ${open === 1 ? "is" : "are"} waiting`}. Rank the responses to each prompt, best first. Press ? for keyboard shortcuts.`,
      action: "Start ranking",
    },
    invite: {
      title: "Invite people to rank",
      text: (open: number, overlap: number) =>
        `${tasks(open)} ${open === 1 ? "is open. It needs" : "are open. Each task needs"} ${rankings(overlap)}.`,
      action: "Add members",
    },
    sample: {
      title: "Sample new responses",
      text: "All tasks are done. Create new tasks by sampling responses from a policy.",
      action: "Sample responses",
    },
  },
  perDay: "Rankings per day",
  onDay: (day: string, n: number) => `${day}: ${rankings(n)}`,
  atMost: (n: number) => `busiest day: ${count(n)}`,
  counts: {
    prompts: "prompts",
    responses: "responses",
    open: "open tasks",
    rankings: "rankings",
    comparisons: "comparisons",
    mine: "ranked by you",
    byAll: "rankings by everyone",
  },
  guidelines: "Guidelines",
  guidelinesField: "Guidelines, in Markdown",
  noGuidelines: "No guidelines yet.",
  writeSome: "To reduce disagreement, explain in two paragraphs what makes a response better.",
  edit: "Edit",
  save: "Save",
  cancel: "Cancel",
};
