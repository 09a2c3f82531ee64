import type { AnswerForm, AnswerGiven } from "@/api/types";
import type { Texts } from "@/shared/i18n";
import type { en } from "./texts/en";

type Said = Texts<typeof en.said>;

/**
 * The order with the desk's response letters: `B > A = D`. The unranked responses of a top-k ranking come
 * last, in brackets.
 */
export function orderInLetters(
  answer: AnswerGiven,
  letters: ReadonlyMap<string, string>,
  texts: Said,
): string {
  if (answer.not_rankable) return texts.notRankable;
  const words = answer.tiers.map((tier) => tier.map((id) => letters.get(id) ?? "?").join(" = "));
  const ranked = new Set(answer.tiers.flat());
  const rest = [...letters].filter(([id]) => !ranked.has(id)).map(([, letter]) => letter);
  if (ranked.size > 0 && rest.length > 0) words.push(`(${rest.join(", ")})`);
  const order = words.join(" > ");
  if (!answer.all_bad) return order || texts.noOrder;
  return order ? texts.orderAllBad(order) : texts.allBad;
}

/** The other parts of the answer, one line each, with labels where the form still defines them. */
export function saidBeside(
  answer: AnswerGiven,
  form: AnswerForm,
  letters: ReadonlyMap<string, string>,
  texts: Said,
): string[] {
  const lines: string[] = [];
  if (answer.strength !== null) {
    const level = form.strength?.levels.find(({ value }) => value === answer.strength);
    lines.push(level ? texts.bestIs(level.label) : texts.bestBy(answer.strength));
  }
  if (answer.confidence !== null) {
    const level = form.confidence?.levels.find(({ value }) => value === answer.confidence);
    lines.push(texts.confidence(level?.label ?? String(answer.confidence)));
  }
  for (const [name, choice] of Object.entries(answer.choices)) {
    const question = form.questions.find((one) => one.name === name);
    const chosen = question?.choices.find((one) => one.name === choice);
    lines.push(`${question?.label ?? name}: ${chosen?.label ?? String(choice)}`);
  }
  for (const [id, given] of Object.entries(answer.ratings)) {
    const words = Object.entries(given as Record<string, number>).map(
      ([name, value]) => `${form.ratings.find((one) => one.name === name)?.label ?? name} ${value}`,
    );
    if (words.length) lines.push(`${letters.get(id) ?? "?"}: ${words.join(", ")}`);
  }
  for (const [id, flags] of Object.entries(answer.flags)) {
    const words = (flags as string[]).map(
      (name) => form.flags.find((one) => one.name === name)?.label ?? name,
    );
    if (words.length) lines.push(texts.flagged(letters.get(id) ?? "?", words.join(", ")));
  }
  return lines;
}
