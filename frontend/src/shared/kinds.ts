/** Run kinds whose name is not the identifier with spaces. The names match the titles in the launch form. */
const NAMES: Record<string, string> = { sft: "supervised fine-tuning", rloo: "RLOO", ppo: "PPO", dpo: "DPO" };

/** "rejection_sampling" → "rejection sampling", for the middle of a sentence */
export function kindName(kind: string): string {
  return NAMES[kind] ?? kind.replaceAll("_", " ");
}

/** "rejection_sampling" → "Rejection sampling" */
export function kindTitle(kind: string): string {
  const name = kindName(kind);
  return name.charAt(0).toUpperCase() + name.slice(1);
}
