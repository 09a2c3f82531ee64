/**
 * Names of training metrics. The names are not in format.ts, because the desk loads that module and does not
 * need the names.
 */
import { words } from "./format";

const TELLING = [/gold/, /heldout.*accuracy/, /accuracy/, /heldout.*loss/, /score|reward/, /kl/, /loss/];

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
  objective_rlhf_reward: "Reward less KL penalty",
  objective_kl: "KL to the reference",
  kl_coefficient: "KL coefficient",
  policy_approxkl: "KL of one update",
  policy_clipfrac: "Clipped share",
  policy_entropy: "Entropy",
  loss_policy: "Policy loss",
  loss_value: "Value loss",
  val_ratio: "Probability ratio",
  val_explained_variance: "Explained variance",
  val_first_log_ratio: "Log ratio before the first update",
  eos_rate: "Finished responses",
  lengths_response_mean: "Tokens of a response",
  grad_norm_policy: "Gradient norm, policy",
  grad_norm_value: "Gradient norm, value",
  seconds_rollout: "Seconds to generate",
  seconds_update: "Seconds to update",
  reward_mean: "Mean reward",
  reward_std: "Reward spread (s.d.)",
  objective_spread: "Reward model's doubt (s.d.)",
  reward_spread: "Reward model's doubt",
  reward_model_spread: "Reward model's doubt",
  uncertainty_heldout_log_loss_plain: "Held-out log loss by scores alone",
  uncertainty_heldout_log_loss_unsure: "Held-out log loss with doubt",
  uncertainty_prior_spread: "Reward model's doubt before any ranking",
  uncertainty_directions_determined: "Directions that rankings determine",
  heldout_ece: "Held-out calibration error",
};

/** "objective/kl_first" → "KL to the reference, at first" */
export function figureName(identifier: string): string {
  const plain = identifier.replaceAll("/", "_").replace(/_avg$/, "");
  const first = plain.endsWith("_first");
  const known = FIGURES[first ? plain.slice(0, -"_first".length) : plain];
  if (known === undefined) return words(plain.replace(/^heldout_/, "held-out_"));
  return first ? `${known}, at first` : known;
}
