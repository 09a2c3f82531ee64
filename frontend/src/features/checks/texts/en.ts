import type { TaskDetail } from "@/api/types";
import { percent, plural } from "@/shared/format";

type Kind = TaskDetail["kind"];

const kinds: Record<Kind, { title: string; means: string }> = {
  ranking: { title: "No check", means: "An ordinary task: it is asked for its ranking." },
  gold: { title: "Gold task", means: "Mixed into the work. Answers are scored, and count for accuracy." },
  attention: {
    title: "Attention check",
    means: "As gold, for tasks whose answer nobody who reads can miss.",
  },
  qualification: {
    title: "Qualification task",
    means: "Asked before somebody may rank, not among the work.",
  },
};

export const en = {
  title: "Checks",
  lead: "Tasks whose answer is known. Annotators can’t tell them from others; how they do on them is their accuracy.",
  loading: "Loading checks",
  kinds,
  all: "All kinds",
  kindFilter: "Kind",
  prompt: "Task",
  kind: "Kind",
  answered: "Answered",
  score: "Mean score",
  notYet: "not yet",
  given: (rate: number) => `${percent(rate)} of tasks`,
  notGiven: "not mixed in: its rate is 0",
  noPassMark: "not asked: there is no pass mark",
  dropped: "dropped",
  rates: "Rates and pass marks",
  change: "Change",
  changeNamed: (prompt: string) => `Change the check “${prompt}”`,
  hard: "harder than it looks",
  hardTitle:
    "Less than half of the pairs are right on average: the known answer may be wrong, or the task unclear.",
  emptyTitle: "No checks yet",
  emptyText:
    "A check is a task whose right order you know. Open any task and make it one: put its responses in order, and everybody’s answer to it is scored from then on.",
  emptyRates: "How often checks are mixed in, and who is paused for failing them, is set under Settings.",
  emptyAction: "Browse tasks",
  emptyKind: "There is none of this kind.",
  dialog: {
    title: "Make this a check",
    change: "Change this check",
    loading: "Loading the task",
    what: "What it is",
    order: "The right order, best first",
    orderHelp:
      "Put the responses in the order you know to be right. Responses in one slot are equally good; at least one must stand above another.",
    prompt: "The task",
    untouched: "Put the responses in order first: this is the order they were imported in.",
    confirmOrder: "This order is right as it stands",
    scored: (answers: number) =>
      answers > 0
        ? `${plural(answers, "answer")} given to this task so far ${answers === 1 ? "is" : "are"} scored by the new order. Nobody is paused for ${answers === 1 ? "it" : "them"} before their next answer.`
        : "Nobody has answered it yet.",
    leaves:
      "It leaves the queue: everybody may be asked it once, and its answers are kept out of snapshots unless asked for.",
    backs:
      "It becomes an ordinary task again. Its scores are forgotten; answers given to it count as rankings.",
    save: "Save the check",
    saveBack: "Make it an ordinary task",
    cancel: "Cancel",
    up: (letter: string) => `Move response ${letter} up`,
    down: (letter: string) => `Move response ${letter} down`,
    tie: (letter: string) => `Tie response ${letter} with the one above`,
    untie: (letter: string) => `Untie response ${letter}`,
    undo: "Undo",
    rank: (slot: number) => `Rank ${slot}`,
    tied: "tie",
    by: "written by",
    more: "Show all",
    less: "Show less",
  },
} as const;
