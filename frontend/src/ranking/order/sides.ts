import type { AnswerForm } from "@/api/types";
import type { OrderTexts } from "./announce";
import type { Tiers } from "./rankingReducer";

/** A position on the scale between two responses. */
export type Side = {
  /**
   * −1 if the first response shown is better, 1 if the second response shown is better, and 0 if neither
   * response is better.
   */
  readonly side: -1 | 0 | 1;
  readonly strength: number | null;
  readonly allBad: boolean;
  /** The form's label for this position; null if there is none. */
  readonly label: string | null;
};

/** Whether the tasks of this form always have two responses, which are then shown side by side. */
export function isPairForm(form: AnswerForm): boolean {
  return form.responses.max === 2 && !form.top_k;
}

/**
 * The positions from "the first is much better" to "the second is much better". If the form allows ties, the
 * tie is the middle position. "Both are bad" is a separate position if it replaces the order.
 */
export function sidesOf(form: AnswerForm): Side[] {
  const levels = [...(form.strength?.levels ?? [])].sort((a, b) => a.value - b.value);
  const grades = levels.length
    ? levels.map(({ value, label }) => ({ strength: value, label }))
    : [{ strength: null, label: null }];
  const side = (side: -1 | 0 | 1, strength: number | null, label: string | null, allBad = false): Side => ({
    side,
    strength,
    label,
    allBad,
  });
  return [
    ...grades.toReversed().map(({ strength, label }) => side(-1, strength, label)),
    ...(form.ties ? [side(0, null, form.tie_label)] : []),
    ...grades.map(({ strength, label }) => side(1, strength, label)),
    ...(isVerdict(form) ? [side(0, null, form.all_bad?.label ?? "", true)] : []),
  ];
}

/** Whether "all are bad" replaces the order instead of being a separate question. */
export function isVerdict(form: AnswerForm): boolean {
  return form.all_bad !== null && form.all_bad.order !== "asked";
}

/** The order that a position represents. */
export function tiersOf({ side, allBad }: Side, shown: readonly string[], form: AnswerForm): Tiers {
  if (allBad && form.all_bad?.order === "none") return [];
  if (side === 0) return [[...shown]];
  return (side < 0 ? shown : shown.toReversed()).map((id) => [id]);
}

/** The index of the answer's position on the scale; −1 if none is chosen yet. */
export function positionOf(
  sides: readonly Side[],
  shown: readonly string[],
  tiers: Tiers,
  { strength, all_bad }: { strength: number | null; all_bad: boolean },
): number {
  const verdict = sides.findIndex((side) => side.allBad);
  if (all_bad && verdict >= 0) return verdict;
  if (tiers.length === 0) return -1;
  const side = tiers.length === 1 ? 0 : tiers[0]?.[0] === shown[0] ? -1 : 1;
  return sides.findIndex(
    (candidate) =>
      !candidate.allBad && candidate.side === side && (side === 0 || candidate.strength === strength),
  );
}

/**
 * One step along the scale. If no position is chosen, the first step selects the weakest position in
 * the direction of the step.
 */
export function stepFrom(sides: readonly Side[], position: number, by: -1 | 1): number {
  const scale = sides.filter((side) => !side.allBad);
  if (position < 0 || sides[position]?.allBad) {
    const sign = by;
    return by < 0
      ? scale.findLastIndex((side) => side.side === sign)
      : scale.findIndex((side) => side.side === sign);
  }
  return Math.max(0, Math.min(position + by, scale.length - 1));
}

/** A position in words, with the letters on the screen, such as "A is much better" or "About the same". */
export function sideWords({ side, label }: Side, texts: OrderTexts): string {
  if (side === 0) return label === null ? "" : label.charAt(0).toUpperCase() + label.slice(1);
  const letter = side < 0 ? "A" : "B";
  return label === null ? texts.better(letter) : texts.betterBy(letter, label);
}

/**
 * The score of a position, on the scale that publications use: from −3 to +3 for a form with three degrees.
 * The score is negative if the first response is better, and 0 for a tie. Empty for "both are bad", and for a
 * preference without a degree.
 */
export function signed({ side, strength, allBad }: Side): string {
  if (allBad || (side !== 0 && strength === null)) return "";
  if (side === 0) return "0";
  return `${side < 0 ? "−" : "+"}${strength}`;
}
