import type { Run } from "@/api/types";
import type { Series } from "../feed/feed";

/** Pure functions that compare several runs. The pages only render the results. */

const LETTERS = "ABCDEF";

/**
 * Labels for legends and tables, such as "A · ppo-3". A label is a letter followed by the name of the model
 * that the run created. If the run created no model, the letter is followed by the title of the run's kind.
 */
export function labelsOf(runs: readonly Run[], title: (kind: string) => string): string[] {
  return runs.map(
    (run, index) => `${LETTERS[index] ?? index + 1} · ${run.result.model?.name ?? title(run.kind)}`,
  );
}

/**
 * The letter of a label, for places where the full label does not fit. The list of runs explains the letters.
 */
export function letterOf(label: string): string {
  return label.split(" ")[0] ?? label;
}

export type Difference = { name: string; values: unknown[] };

/**
 * The inputs and settings that differ between the runs, and the number of inputs and settings that do not
 * differ. The kind of the run counts as a setting. If a run's kind does not have a setting, the setting's
 * value is undefined.
 */
export function differences(runs: readonly Pick<Run, "kind" | "recipe" | "inputs">[]): {
  rows: Difference[];
  same: number;
} {
  const documents = runs.map((run) => ({
    kind: run.kind,
    ...Object.fromEntries(Object.entries(run.inputs).map(([name, value]) => [`input: ${name}`, value])),
    ...run.recipe,
  })) as Record<string, unknown>[];
  const names = [...new Set(documents.flatMap((document) => Object.keys(document)))];
  const all = names.map((name) => ({ name, values: documents.map((document) => document[name]) }));
  const rows = all.filter(
    ({ values }) => new Set(values.map((value) => JSON.stringify(value) ?? "")).size > 1,
  );
  return { rows, same: all.length - rows.length };
}

export type Figure = { name: string; values: (number | undefined)[] };

/** The final figures, each with its value in every run; the value is undefined if a run does not have the figure. */
export function finalFigures(
  runs: readonly Pick<Run, "result">[],
  order: (names: string[]) => string[],
): Figure[] {
  const results = runs.map(
    ({ result }) => ({ ...result.counts, ...result.metrics }) as Record<string, number>,
  );
  const names = [...new Set(results.flatMap((result) => Object.keys(result)))];
  return order(names).map((name) => ({ name, values: results.map((result) => result[name]) }));
}

/**
 * Exponential moving average over the points, as in TensorBoard: a `weight` of 0 changes nothing, and a
 * weight near 1 smooths strongly. The average is corrected for bias, so that the first points are not pulled
 * towards 0.
 */
export function smooth(series: Series, weight: number): Series {
  if (weight <= 0) return series;
  let average = 0;
  let given = 0;
  const values = series.values.map((value) => {
    average = average * weight + value * (1 - weight);
    given = given * weight + (1 - weight);
    return average / given;
  });
  return { steps: series.steps, values };
}

/**
 * The series as table rows. If there are at most `most` steps, every step has a row. Otherwise, the rows show
 * evenly spaced steps, including the first step and the last step.
 */
export function tableRows(
  series: readonly Series[],
  most: number,
): { step: number; values: (number | undefined)[] }[] {
  const steps = [...new Set(series.flatMap((one) => one.steps))].sort((a, b) => a - b);
  const chosen =
    steps.length <= most
      ? steps
      : Array.from({ length: most }, (_, index) => {
          const at = Math.round((index * (steps.length - 1)) / (most - 1));
          return steps[at] as number;
        });
  const found = series.map((one) => new Map(one.steps.map((step, index) => [step, one.values[index]])));
  return chosen.map((step) => ({ step, values: found.map((values) => values.get(step)) }));
}
