/** Run kinds whose name is not just the identifier with spaces. The names match the launch form's titles. */
const NAMES: Record<string, string> = { sft: "supervised fine-tuning", rloo: "RLOO", ppo: "PPO", dpo: "DPO" };

/** The name of a run kind within a sentence: "rejection sampling" for `rejection_sampling`. */
export function kindName(kind: string): string {
  return NAMES[kind] ?? kind.replaceAll("_", " ");
}

/** The name of a run kind as a title: "Rejection sampling" for `rejection_sampling`. */
export function kindTitle(kind: string): string {
  const name = kindName(kind);
  return name.charAt(0).toUpperCase() + name.slice(1);
}
