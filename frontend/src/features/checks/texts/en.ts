import type { TaskDetail } from "@/api/types";
import { percent, plural } from "@/shared/format";

type Kind = TaskDetail["kind"];

const kinds: Record<Kind, { title: string; means: string }> = {
  ranking: { title: "Not a check", means: "A regular task." },
  gold: {
    title: "Gold task",
    means: "Mixed in with other tasks. Answers are scored and count towards accuracy.",
  },
  attention: {
    title: "Attention check",
    means: "Like a gold task, but easy enough for every attentive reader to answer correctly.",
  },
  qualification: {
    title: "Qualification task",
    means: "Shown to new annotators before they can rank, and not mixed with other tasks.",
  },
};

export const en = {
  title: "Checks",
  lead: "Checks are tasks with a known answer. Each annotator’s accuracy is the mean score on gold tasks and attention checks, which annotators cannot distinguish from other tasks.",
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
  notGiven: "not mixed in: the rate is 0",
  noPassMark: "not shown: no pass mark is set",
  dropped: "dropped",
  rates: "Rates and pass marks",
  change: "Change",
  changeNamed: (prompt: string) => `Change the check “${prompt}”`,
  hard: "low score",
  hardTitle:
    "On average, annotators order fewer than half of the pairs correctly. The known answer may be wrong, or the task may be unclear.",
  emptyTitle: "No checks yet",
  emptyText:
    "A check is a task with a known correct order. To turn a task into a check, open the task and rank its responses. All answers to this task are then scored.",
  emptyRates: "Set the rates of checks and the minimum accuracy under Settings.",
  emptyAction: "Browse tasks",
  emptyKind: "There are no checks of this kind.",
  dialog: {
    title: "Turn into a check",
    change: "Edit check",
    loading: "Loading the task",
    what: "Kind",
    order: "Correct order, best first",
    orderHelp:
      "Rank the responses in the correct order. Responses in the same slot are equally good. At least one response must be better than another.",
    prompt: "Task",
    untouched: "The responses are still in import order. Rank the responses first.",
    confirmOrder: "This order is correct",
    scored: (answers: number) =>
      answers > 0
        ? `${plural(answers, "existing answer")} ${answers === 1 ? "is" : "are"} rescored against the new order. Annotators can be paused because of the new scores, but only after their next answer.`
        : "No answers yet.",
    leaves:
      "The task leaves the regular queue. Each annotator can get the task once, or once per attempt if it is a qualification task. By default, snapshots exclude answers to checks.",
    backs:
      "The task becomes a regular task again. Its scores are deleted, and its answers become regular rankings.",
    save: "Save check",
    saveBack: "Turn into a regular task",
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
