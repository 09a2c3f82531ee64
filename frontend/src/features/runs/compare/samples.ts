import type { SampleEvent } from "@/api/types";
import type { Answer, Row } from "@/shared/samples/SampleTable";

/**
 * One column of answers. If `before` is true, the answers are from the model before training, and `step` is
 * ignored. Otherwise, the answers are from the training step `step`.
 */
export type Column = {
  key: string;
  title: string;
  before: boolean;
  step: number;
  samples: readonly SampleEvent[];
};

const promptKey = (sample: SampleEvent): string => JSON.stringify(sample.prompt);

export function stepsOf(samples: readonly SampleEvent[]): number[] {
  return [...new Set(samples.map((sample) => sample.step))].sort((a, b) => a - b);
}

/**
 * The samples by prompt. Only the last sample for each prompt is kept, because a resumed run repeats the
 * samples of a step.
 */
function byPrompt(samples: readonly SampleEvent[]): Map<string, SampleEvent> {
  return new Map(samples.map((sample) => [promptKey(sample), sample]));
}

/**
 * One row for each prompt with answers in at least `shared` columns. The rows follow the order of the first
 * column.
 */
export function sampleRows(columns: readonly Column[], format: (value: number) => string, shared = 1): Row[] {
  const found = columns.map((column) =>
    byPrompt(column.before ? column.samples : column.samples.filter((sample) => sample.step === column.step)),
  );
  const prompts = new Map(found.flatMap((samples) => [...samples].map(([key, one]) => [key, one.prompt])));
  return [...prompts]
    .filter(([key]) => found.filter((samples) => samples.has(key)).length >= shared)
    .map(([key, prompt]) => ({
      key,
      prompt,
      answers: columns.map((column, index) => answerOf(column, found[index]?.get(key), format)),
    }));
}

const SCORE_NAMES: Record<string, string> = { kl: "KL", reward_minus_kl: "reward − β·KL" };

/**
 * The name of a score as shown on the page. The score of one of several reward models is stored as
 * `rewards/<reward model>` and is shown under the unchanged name of the reward model.
 */
export function scoreName(name: string): string {
  const plain = name.replace(/_(before|after)$/, "");
  const [, rewardModel] = /^reward\w*\/(.+)$/.exec(plain) ?? [];
  return rewardModel ?? SCORE_NAMES[plain] ?? plain.replaceAll("_", " ");
}

function answerOf(
  { key, title, before }: Column,
  sample: SampleEvent | undefined,
  format: (value: number) => string,
): Answer | undefined {
  if (!sample) return undefined;
  const wanted = before ? "before" : "after";
  const scores = Object.entries(sample.scores).filter(([name]) => name.endsWith(`_${wanted}`));
  return {
    key,
    title,
    text: before ? sample.before : sample.after,
    score: scores.map(([name, value]) => `${scoreName(name)} ${format(value)}`).join(" · "),
  };
}
