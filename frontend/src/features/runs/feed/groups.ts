import { words } from "@/shared/format";
import type { Series } from "./feed";

/**
 * Chart titles with the patterns of their metrics. A metric is drawn in the first chart whose pattern matches
 * the metric's name.
 */
const CHARTS: readonly { title: string; pattern: RegExp; detail?: true }[] = [
  // A reward model's name can contain any word, so the patterns for its metrics are tried first.
  { title: "Reward models", pattern: /^rewards\/.+\/(mean|floor)$/ },
  { title: "Floor multipliers", pattern: /^rewards\/.+\/multiplier$/, detail: true },
  { title: "Truncated and refused answers", pattern: /^rewards\/.+\/(truncated|refused)$/, detail: true },
  { title: "Raw rewards", pattern: /^reward_raw\//, detail: true },
  { title: "Learning rate", pattern: /learning_rate|(^|[/_])lr$/, detail: true },
  { title: "KL coefficient", pattern: /kl_(coef|beta)/, detail: true },
  { title: "Accuracy", pattern: /accurac(y|ies)/ },
  { title: "Prompts with equal rewards", pattern: /reward_zero_std/, detail: true },
  { title: "Reward", pattern: /reward|margins|scores?($|[/_])|gold/ },
  { title: "Log-probability", pattern: /^logps\//, detail: true },
  {
    title: "KL to the reference",
    pattern: /^(objective|policy)?\/?(kl|kl_mean|kl_upper|kl_final|kl_per_token|kl_to_reference)$/,
  },
  { title: "Loss", pattern: /loss/ },
  { title: "Entropy per response", pattern: /^objective\/entropy$/, detail: true },
  { title: "Entropy", pattern: /entropy/ },
  { title: "Length", pattern: /length/ },
  { title: "Number of finished responses", pattern: /num_eos/, detail: true },
  { title: "Finished responses", pattern: /eos|(^|[/_])finished/ },
  { title: "Update size", pattern: /approx_?kl|clip_?frac|ratio/, detail: true },
  { title: "Explained variance", pattern: /explained_variance/, detail: true },
  { title: "Gradient norm", pattern: /grad_?norm/, detail: true },
  { title: "Time", pattern: /seconds($|\/)|^seconds|_ms$/, detail: true },
  { title: "Speed", pattern: /per_second/, detail: true },
];

const FIRST = ["Reward", "Reward models", "Loss", "Accuracy", "KL to the reference", "Entropy", "Length"];

type ChartGroup = { title: string; names: string[]; detail: boolean };

/** The points of the best-of-n curve, which has its own chart (`bestOf.ts`). */
const BEST_OF = /^(gold_|kl_)?best_of\//;

/** Groups metrics of the same kind and scale into one chart. An unknown metric gets a separate chart. */
export function groupMetrics(names: readonly string[]): ChartGroup[] {
  const groups = new Map<string, ChartGroup>();
  for (const name of names.filter((each) => !BEST_OF.test(each)).sort()) {
    const chart = CHARTS.find(({ pattern }) => pattern.test(name));
    const title = chart?.title ?? words(name);
    const group = groups.get(title) ?? { title, names: [], detail: chart ? chart.detail === true : true };
    group.names.push(name);
    groups.set(title, group);
  }
  const rank = ({ title }: ChartGroup) => {
    const index = FIRST.indexOf(title);
    return index < 0 ? FIRST.length : index;
  };
  return [...groups.values()].sort((a, b) => rank(a) - rank(b) || a.title.localeCompare(b.title));
}

/**
 * Separates the groups that have a curve from the metrics that were reported only once. A single value is
 * shown as a number, because a chart with one point would add no information.
 */
export function curvesAndValues(
  groups: readonly ChartGroup[],
  series: Readonly<Record<string, Series>>,
): { curves: ChartGroup[]; values: { name: string; value: number }[] } {
  const points = (name: string) => series[name]?.values ?? [];
  const hasCurve = ({ names }: ChartGroup) => names.some((name) => points(name).length > 1);
  const values = groups
    .filter((group) => !hasCurve(group))
    .flatMap(({ names }) => names)
    .flatMap((name) => points(name).map((value) => ({ name, value })));
  return { curves: groups.filter(hasCurve), values };
}
