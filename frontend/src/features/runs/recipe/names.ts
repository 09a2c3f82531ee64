/** Readable names for a recipe's settings and for the values of settings with choices. */
import { words } from "@/shared/format";
import { kindTitle } from "@/shared/kinds";

/** Abbreviations keep their capitals: "KL target", "GAE lambda". */
const ABBREVIATIONS: Record<string, string> = {
  dtype: "data type",
  kl: "KL",
  gae: "GAE",
  eos: "EOS",
  lora: "LoRA",
  peft: "PEFT",
  ppo: "PPO",
  ptx: "PTX",
  rloo: "RLOO",
  sft: "SFT",
};

export function settingName(name: string): string {
  const spaced = name.split("_").map((word) => ABBREVIATIONS[word] ?? word);
  const text = spaced.join(" ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Values that are proper names or abbreviations, or that have a special spelling. */
const CHOICES: Record<string, string> = {
  bradley_terry: "Bradley–Terry",
  plackett_luce: "Plackett–Luce",
  rao_kupper: "Rao–Kupper",
  crowd_bt: "CrowdBT",
  dpo: "DPO",
  ipo: "IPO",
  rloo: "RLOO",
  grpo: "GRPO",
  dr_grpo: "Dr. GRPO",
  ema: "EMA",
  lora: "LoRA",
  heldout: "Held-out",
  k1: "k1",
  k2: "k2",
  k3: "k3",
  float32: "float32",
  bfloat16: "bfloat16",
};

/** The readable name of a choice: "Bradley–Terry" for `bradley_terry`, "Best responses" for `best_responses`. */
export function choiceName(value: string): string {
  return CHOICES[value] ?? words(value);
}

/** The settings with choices. The values of all other settings are shown as they were entered. */
const WITH_CHOICES = new Set([
  ...["advantage", "aggregation", "annotators", "critic", "demonstrations", "judge", "keep", "kl_estimator"],
  ...["layout", "loss", "packing", "positions", "ratio", "reference", "reward_spread", "schedule", "split"],
  ...["strength", "ties", "uncertainty"],
]);

export function valueName(setting: string, value: string): string {
  if (setting === "kind") return kindTitle(value);
  return WITH_CHOICES.has(setting) ? choiceName(value) : value;
}

/**
 * A setting's help text with the readable names of its choices:
 * "bradley_terry: the likelihood of …" becomes "Bradley–Terry: the likelihood of …". The original text is
 * written for the command line.
 */
export function withChoiceNames(help: string, choices: readonly string[]): string {
  return choices.reduce(
    (text, choice) => text.replaceAll(new RegExp(`(^|[.;] )${choice}: `, "g"), `$1${choiceName(choice)}: `),
    help,
  );
}
