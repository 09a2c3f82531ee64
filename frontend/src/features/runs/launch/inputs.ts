import type { Model, RecipeKind } from "@/api/types";
import type { RunTexts } from "../texts";

type Kind = Pick<RecipeKind, "improves_policy">;

/**
 * The input that the server uses by default, and the reason for this choice. The label is short, because a
 * select box truncates long text.
 */
type DefaultInput = { label: string; why: string };

/**
 * The default input for `name`, chosen by the same rules as on the server. For a model, the first choice is
 * the production model. For runs that improve a policy, the second choice is the policy whose responses the
 * reward model was trained on. The last choice is the newest model.
 */
export function defaultInput(
  name: string,
  kind: string,
  recipe: Kind,
  models: readonly Model[],
  chosen: Readonly<Record<string, string>>,
  texts: RunTexts["launch"],
): DefaultInput {
  if (name === "snapshot") {
    return kind === "sft" ? { label: texts.none, why: "" } : { label: texts.freeze, why: texts.freezeWhy };
  }
  if (name === "policy" && kind === "sft") return { label: texts.fromBase, why: texts.fromBaseWhy };
  const offered = offeredModels(models, name);
  const production = offered.find((model) => model.stage === "production");
  if (production) return { label: texts.default(production.name), why: texts.production };
  if (name === "policy" && recipe.improves_policy) {
    const parent = judgeOf(models, chosen)?.parent;
    if (parent && offered.some((model) => model.id === parent.id)) {
      return { label: texts.default(parent.name), why: texts.ofRewardModel };
    }
  }
  const newest = offered[0];
  if (newest) return { label: texts.default(newest.name), why: texts.newest };
  return { label: texts.noneYet, why: name === "policy" ? texts.noPolicy : texts.noRewardModel };
}

/** The models of a kind that are not archived, in the server's order (newest first). */
export function offeredModels(models: readonly Model[], kind: string): Model[] {
  return models.filter((model) => model.kind === kind && model.stage !== "archived");
}

function judgeOf(models: readonly Model[], chosen: Readonly<Record<string, string>>): Model | undefined {
  const offered = offeredModels(models, "reward_model");
  return (
    offered.find((model) => model.name === chosen.reward_model) ??
    offered.find((model) => model.stage === "production") ??
    offered[0]
  );
}

/**
 * An earlier run's inputs that are still available, and the names of models and snapshots that are no longer
 * available. Additional reward models (`reward_model_2`, …) are skipped, because the recipe contains
 * their names.
 */
export function inputsAgain(
  inputs: Readonly<Record<string, string>>,
  offered: (input: string) => readonly string[],
): { inputs: Record<string, string>; gone: string[] } {
  const entries = Object.entries(inputs).filter(([name]) => !/^reward_model_\d+$/.test(name));
  return {
    inputs: Object.fromEntries(entries.filter(([name, value]) => offered(name).includes(value))),
    gone: entries
      .filter(([name, value]) => value && !offered(name).includes(value))
      .map(([, value]) => value),
  };
}
