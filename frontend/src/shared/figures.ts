/**
 * Names of training metrics. The names are not in format.ts, because the desk loads that module and does not
 * need the names.
 */
import { words } from "./format";

const TELLING = [/gold/, /heldout.*accuracy/, /accurac/, /heldout.*loss/, /score|reward/, /kl/, /loss/];

/** Metrics in order of importance: gold and held-out metrics before training metrics. */
export function tellingFirst(metrics: Record<string, number>): [string, number][] {
  const rank = (name: string) => {
    const index = TELLING.findIndex((pattern) => pattern.test(name));
    return index < 0 ? TELLING.length : index;
  };
  return Object.entries(metrics).sort(([a], [b]) => rank(a) - rank(b));
}

/** Readable names for metrics; a metric without an entry keeps its own name. */
const FIGURES: Record<string, string> = {
  objective_scores: "Reward score",
  objective_rlhf_reward: "Reward minus KL penalty",
  objective_kl: "KL to the reference",
  objective_kl_final: "KL of the final policy",
  objective_kl_upper: "KL checked against the ceiling",
  objective_entropy: "Entropy per response",
  objective_non_score_reward: "KL penalty",
  kl_coefficient: "KL coefficient",
  kl_pull: "Pull towards the reference",
  kl_pull_final: "Final pull towards the reference",
  policy_approxkl: "KL per update",
  policy_clipfrac: "Clip fraction",
  policy_entropy: "Entropy",
  loss_policy: "Policy loss",
  loss_value: "Value loss",
  val_ratio: "Probability ratio",
  val_explained_variance: "Explained variance",
  val_ratio_var: "Variance of the probability ratio",
  val_clipfrac: "Clip fraction, value",
  val_num_eos_tokens: "Number of finished responses",
  loss_ptx: "Loss on demonstrations",
  lr: "Learning rate",
  episode: "Responses so far",
  recovery: "Steps beyond the KL ceiling",
  went_back: "Return to weights below the KL ceiling",
  val_first_log_ratio: "Largest log ratio before the first update",
  eos_rate: "Finished responses",
  finished_share: "Finished responses",
  distinct_share: "Distinct responses",
  mean_tokens: "Tokens per response",
  from_imported: "Imported demonstrations",
  lengths_response_mean: "Tokens per response",
  grad_norm_policy: "Gradient norm, policy",
  grad_norm_value: "Gradient norm, value",
  seconds_rollout: "Generation time (s)",
  seconds_update: "Update time (s)",
  rewards_chosen: "Implicit reward, preferred",
  rewards_rejected: "Implicit reward, rejected",
  rewards_margins: "Implicit reward margin",
  rewards_accuracies: "Pairs in the preferred order",
  heldout_margins: "Held-out reward margin",
  logps_chosen: "Log-probability, preferred",
  logps_rejected: "Log-probability, rejected",
  nll_loss: "Supervised loss",
  reward_mean: "Mean reward",
  frac_reward_zero_std: "Prompts with equal rewards",
  reward_std: "Reward spread (s.d.)",
  objective_spread: "Reward uncertainty (s.d.)",
  reward_spread: "Reward uncertainty",
  reward_model_spread: "Reward uncertainty",
  uncertainty_heldout_log_loss_plain: "Held-out log loss, scores only",
  uncertainty_heldout_log_loss_unsure: "Held-out log loss with uncertainty",
  uncertainty_prior_spread: "Prior reward uncertainty",
  uncertainty_directions_determined: "Parameter directions determined by the rankings",
  reward_best: "Mean best reward",
  reward_mean_before: "Mean reward before training",
  reward_best_of_n_before: "Mean best reward before training",
  gold_mean_before: "Mean gold reward before training",
  gold_best_of_n_before: "Mean gold reward of best answers before training",
  heldout_ece: "Held-out calibration error",
};

/** The metrics of an evaluation. Their identifiers begin with the name of the judge, as in `gold/mean`. */
const EVALUATED: Record<string, string> = {
  mean: "Mean score",
  standard_error: "Standard error of the mean score",
  mean_tokens: "Tokens per response",
  finished_share: "Finished responses",
  repetition_rate: "Repetition rate",
};

/** The readable name of a metric: "KL to the reference, first step" for `objective/kl_first`. */
export function figureName(identifier: string): string {
  const [, evaluated] = /^(?:gold|reward_model)\/(\w+)$/.exec(identifier) ?? [];
  if (evaluated !== undefined && EVALUATED[evaluated]) return EVALUATED[evaluated];
  const plain = identifier.replaceAll("/", "_").replace(/_avg$/, "");
  const first = plain.endsWith("_first");
  const known = FIGURES[first ? plain.slice(0, -"_first".length) : plain];
  if (known === undefined) return words(plain.replace(/^heldout_/, "held-out_"));
  return first ? `${known}, first step` : known;
}
