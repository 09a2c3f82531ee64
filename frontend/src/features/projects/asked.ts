import type { AnswerForm } from "@/api/types";
import type { Texts } from "@/shared/i18n";
import type { en } from "./texts/en";

/** A form's questions, one line per part, in the order in which annotators see them. */
export function askedBy(form: AnswerForm, texts: Texts<typeof en.asked>): string[] {
  const pair = form.responses.max === 2 && !form.top_k;
  const parts: [boolean, (form: AnswerForm) => string][] = [
    [pair, texts.pair],
    [!pair && form.top_k !== null, texts.best],
    [!pair && form.top_k === null, texts.order],
    [!pair && form.strength !== null, texts.strength],
    [form.ratings.length > 0, texts.ratings],
    [form.flags.length > 0, texts.flags],
    [form.questions.length > 0, texts.questions],
    [form.confidence !== null, texts.confidence],
    [form.all_bad !== null, texts.allBad],
    [form.comment !== null, texts.comment],
    [form.rewrite !== null, texts.rewrite],
  ];
  return parts.flatMap(([there, words]) => (there ? [words(form)] : []));
}
