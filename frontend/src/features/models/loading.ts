import type { Model } from "@/api/types";

const CLASSES: Record<Model["kind"], string> = {
  policy: "AutoModelForCausalLM",
  reward_model: "AutoModelForSequenceClassification",
};

/** One line of Python that loads the model. JSON's strings are Python's too, quotes and backslashes included. */
export function loadLine({ kind, folder, weights }: Pick<Model, "kind" | "folder" | "weights">): string {
  const adapter = weights === "adapter";
  const name = adapter ? CLASSES[kind].replace("Auto", "AutoPeft") : CLASSES[kind];
  // A base that is a language model doesn't say how many outputs the adapter's head has.
  const outputs = adapter && kind === "reward_model" ? ", num_labels=1" : "";
  const call = `${name}.from_pretrained(${JSON.stringify(folder)}${outputs})`;
  return `from ${adapter ? "peft" : "transformers"} import ${name}; model = ${call}`;
}
