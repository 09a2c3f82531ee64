import type { Model } from "@/api/types";

const CLASSES: Record<Model["kind"], string> = {
  policy: "AutoModelForCausalLM",
  reward_model: "AutoModelForSequenceClassification",
};

/** One line of Python that loads the model. JSON's strings are Python's too, quotes and backslashes included. */
export function loadLine({ kind, folder }: Pick<Model, "kind" | "folder">): string {
  const name = CLASSES[kind];
  return `from transformers import ${name}; model = ${name}.from_pretrained(${JSON.stringify(folder)})`;
}
