import type { AnswerForm } from "@/api/types";
import { plural } from "@/shared/format";

const span = ({ min, max }: { min: number; max: number }) => (min === max ? `${min}` : `${min}–${max}`);

export const en = {
  newProject: {
    title: "New project",
    lead: "Choose a name, the questions for annotators, and the number of rankings per task. You can change everything except the short name later.",
    name: "Name",
    nameHelp: "The name shown to members.",
    slug: "Short name",
    slugHelp: "Used in URLs and commands. The short name can’t be changed later.",
    address: (slug: string) => `URL: /projects/${slug || "…"}`,
    preset: "Questions for annotators",
    presetHelp: "The initial answer form. You can change the form at any time.",
    overlap: "Rankings per task",
    overlapHelp:
      "How many annotators rank each task. With two or more rankings per task, you can measure agreement.",
    guidelines: "Guidelines",
    guidelinesHelp:
      "Written in Markdown. Annotators open the guidelines with one key. To reduce disagreement, explain in two paragraphs what makes a response better. At most 100,000 characters.",
    guidelinesHint:
      "## What is better\n\nA better response answers the question, is correct, and is no longer than necessary.",
    create: "Create project",
    cancel: "Cancel",
    loading: "Loading the presets",
    notAllowed: "You can’t create projects",
    whoMay:
      "Only project managers and site admins can create projects. Ask a manager or admin to create the project and invite you as its manager.",
    back: "Your projects",
  },
  start: {
    title: (name: string) => `Set up ${name}`,
    lead: "Three steps to the first ranking. You can repeat each step at any time.",
    done: "done",
    importTitle: "Import data to rank",
    importEmpty:
      "Drop a file with prompts and responses: JSON Lines, CSV or Parquet. The format is recognised automatically, and you see a preview before anything is imported.",
    importDone: (tasks: number) => `${plural(tasks, "task")} to rank.`,
    importAction: "Import data",
    importMore: "Import more",
    peopleTitle: "Invite people",
    peopleEmpty: "An invitation link admits one person, who chooses a username and a password.",
    peopleDone: (people: number) => `${plural(people, "member")} so far.`,
    peopleAction: "Invite people",
    formTitle: "Check the answer form",
    formText: "Edit the form with a live preview of the desk. Add your own ratings, flags or questions.",
    formAction: "Edit the answer form",
    shareTitle: "Share the link",
    shareText: "Members open this link to rank. Apart from members, only site admins can see the project.",
    copy: "Copy the link for members",
    overview: "Go to the project",
  },
  presets: {
    ranking: { title: "Ranking", source: "The default" },
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
      const how = grades > 1 ? `which is better, on a scale with ${grades} levels` : "which is better";
      return `Two responses: ${how}${form.ties ? ", or a tie" : ", no tie"}`;
    },
    order: (form: AnswerForm) =>
      `${span(form.responses)} responses in order${form.ties ? ", ties allowed" : ", no ties"}`,
    best: (form: AnswerForm) => `The best ${form.top_k?.at_most ?? ""} of ${span(form.responses)} responses`,
    strength: (form: AnswerForm) =>
      `How much better the best response is, on a scale with ${plural(form.strength?.levels.length ?? 0, "level")}`,
    ratings: (form: AnswerForm) => {
      const [first] = form.ratings;
      if (!first) return "";
      const scale = `${first.min} to ${first.max}`;
      return form.ratings.length === 1
        ? `${first.label} of each response, ${scale}`
        : `${form.ratings.length} ratings of each response, ${scale}`;
    },
    flags: (form: AnswerForm) =>
      form.flags.length === 1
        ? `A flag for each response: ${form.flags[0]?.label}`
        : `${form.flags.length} flags for each response`,
    questions: (form: AnswerForm) =>
      form.questions.length === 1
        ? (form.questions[0]?.label ?? "")
        : `${form.questions.length} questions about the task`,
    confidence: () => "Confidence",
    allBad: (form: AnswerForm) => `“${form.all_bad?.label ?? ""}”`,
    comment: (form: AnswerForm) =>
      `${form.comment?.label ?? ""}${form.comment?.required ? ", required" : ""}`,
    rewrite: () => "A better response in the annotator’s words",
  },
} as const;
