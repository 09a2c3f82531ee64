import type { AnswerForm } from "@/api/types";
import { plural } from "@/shared/format";

const span = ({ min, max }: { min: number; max: number }) => (min === max ? `${min}` : `${min}–${max}`);

export const en = {
  newProject: {
    title: "New project",
    lead: "A name, what annotators are asked, and how many of them rank each task. All but the short name can be changed later.",
    name: "Name",
    nameHelp: "What people see. Say what is ranked, and for what.",
    slug: "Short name",
    slugHelp: "In addresses and commands. It can’t be changed later.",
    address: (slug: string) => `Its address: /projects/${slug || "…"}`,
    preset: "What annotators are asked",
    presetHelp: "A form to begin with. Every part of it can be changed before and while people rank.",
    overlap: "Rankings per task",
    overlapHelp: "How many different people rank each task. Two or more lets you measure how far they agree.",
    guidelines: "Guidelines",
    guidelinesHelp:
      "Markdown, one key away while ranking. Two paragraphs on what makes a response better save many disagreements.",
    guidelinesHint:
      "## What is better\n\nA better response answers the question that was asked, is true, and says no more than it must.",
    create: "Create project",
    cancel: "Cancel",
    loading: "Loading the presets",
    notAllowed: "You can’t make projects",
    whoMay:
      "Managers of any project can, and so can admins of the site. Ask one of them to make it and to invite you as its manager.",
    back: "Your projects",
  },
  start: {
    title: (name: string) => `${name}: what next`,
    lead: "Three steps to the first ranking. Each can be done again at any time.",
    done: "done",
    importTitle: "Bring in something to rank",
    importEmpty:
      "Drop a file of prompts with responses: JSON lines, CSV or Parquet. Formats are recognised, and a dry run says what would come in before anything does.",
    importDone: (tasks: number) => `${plural(tasks, "task")} to rank.`,
    importAction: "Import data",
    importMore: "Import more",
    peopleTitle: "Invite people",
    peopleEmpty: "An invitation link lets one person in, with a name and a password of their own choosing.",
    peopleDone: (people: number) => `${plural(people, "member")} so far.`,
    peopleAction: "Invite people",
    formTitle: "Look at what they will be asked",
    formText: "The form with a live preview of the desk; add ratings, flags or questions of your own.",
    formAction: "Edit the answer form",
    shareTitle: "Share the link",
    shareText: "Members open this page to rank. To everybody else the project does not exist.",
    copy: "Copy the link for members",
    overview: "Go to the project",
  },
  presets: {
    ranking: { title: "Ranking", source: "The plain default" },
    instructgpt: { title: "InstructGPT", source: "Ouyang et al. 2022" },
    llama2: { title: "Llama 2", source: "Touvron et al. 2023" },
    hh: { title: "Helpful & harmless", source: "Bai et al. 2022" },
    helpsteer2: { title: "HelpSteer2", source: "Wang et al. 2024" },
    arena: { title: "Arena", source: "Chiang et al. 2024" },
    oasst: { title: "Open Assistant", source: "Köpf et al. 2023" },
  },
  asked: {
    pair: (form: AnswerForm) => {
      const grades = form.strength?.levels.length ?? 1;
      const how = grades > 1 ? `which is better, in ${grades} degrees` : "which is better";
      return `Two responses: ${how}${form.ties ? ", or a tie" : ", no tie"}`;
    },
    order: (form: AnswerForm) =>
      `${span(form.responses)} responses in order${form.ties ? ", ties allowed" : ", no ties"}`,
    best: (form: AnswerForm) => `The best ${form.top_k?.at_most ?? ""} of ${span(form.responses)} responses`,
    strength: (form: AnswerForm) =>
      `How much better the best is, in ${plural(form.strength?.levels.length ?? 0, "step")}`,
    ratings: (form: AnswerForm) => {
      const [first] = form.ratings;
      if (!first) return "";
      const scale = `${first.min} to ${first.max}`;
      return form.ratings.length === 1
        ? `${first.label} of each, ${scale}`
        : `${form.ratings.length} ratings of each, ${scale}`;
    },
    flags: (form: AnswerForm) =>
      form.flags.length === 1
        ? `A flag for each: ${form.flags[0]?.label}`
        : `${form.flags.length} flags for each`,
    questions: (form: AnswerForm) =>
      form.questions.length === 1
        ? (form.questions[0]?.label ?? "")
        : `${form.questions.length} questions about the task`,
    confidence: () => "How sure they are",
    allBad: (form: AnswerForm) => `“${form.all_bad?.label ?? ""}”`,
    comment: (form: AnswerForm) =>
      `${form.comment?.label ?? ""}${form.comment?.required ? ", required" : ""}`,
    rewrite: () => "A rewrite of the best",
  },
} as const;
