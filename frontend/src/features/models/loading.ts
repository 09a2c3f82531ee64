import type { Model } from "@/api/types";

const CLASSES: Record<Model["kind"], string> = {
  policy: "AutoModelForCausalLM",
  reward_model: "AutoModelForSequenceClassification",
};

/**
 * A line of Python that loads the model. The folder name is written as a JSON string, because JSON and Python
 * use the same escapes for quotes and backslashes.
 */
export function loadLine({ kind, folder, weights }: Pick<Model, "kind" | "folder" | "weights">): string {
  const adapter = weights === "adapter";
  const name = adapter ? CLASSES[kind].replace("Auto", "AutoPeft") : CLASSES[kind];
  // The adapter's base model can be a language model, so the number of outputs is passed explicitly.
  const outputs = adapter && kind === "reward_model" ? ", num_labels=1" : "";
  const call = `${name}.from_pretrained(${JSON.stringify(folder)}${outputs})`;
  return `from ${adapter ? "peft" : "transformers"} import ${name}; model = ${call}`;
}
