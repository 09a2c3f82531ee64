import { NativeSelect } from "@mantine/core";
import type { Model, RecipeKind, Snapshot } from "@/api/types";
import { ago } from "@/shared/format";
import { Panel } from "@/shared/ui";
import { type RunTexts, useTexts } from "../texts";
import { defaultInput, offeredModels } from "./inputs";
import styles from "./launch.module.css";

type Choice = { value: string; label: string };

function labelOf(name: string, texts: RunTexts["launch"]): string {
  const labels: Record<string, string> = {
    policy: texts.policy,
    reward_model: texts.rewardModel,
    snapshot: texts.snapshot,
  };
  return labels[name] ?? name;
}

export function InputsPanel({
  kind,
  recipe,
  models,
  snapshots,
  chosen,
  onChoose,
  errorOf,
}: {
  kind: string;
  recipe: RecipeKind;
  models: readonly Model[];
  snapshots: readonly Snapshot[];
  chosen: Readonly<Record<string, string>>;
  onChoose: (name: string, value: string) => void;
  errorOf: (name: string) => string | undefined;
}) {
  const texts = useTexts().launch;

  function choicesOf(name: string): Choice[] {
    if (name === "snapshot") {
      return snapshots.map((one) => ({ value: one.name, label: `${one.name} · ${texts.rows(one.rows)}` }));
    }
    return offeredModels(models, name).map((model) => ({
      value: model.name,
      label: [
        model.name,
        ago(model.created_at),
        ...(model.stage === "production" ? [texts.inProduction] : []),
      ].join(" · "),
    }));
  }

  return (
    <Panel title={texts.inputs}>
      <div className={styles.inputs}>
        {recipe.inputs.map((name) => {
          const byDefault = defaultInput(name, kind, recipe, models, chosen, texts);
          return (
            <NativeSelect
              key={name}
              name={`inputs.${name}`}
              label={labelOf(name, texts)}
              description={chosen[name] ? undefined : byDefault.why}
              error={errorOf(name) ?? false}
              data={[{ value: "", label: byDefault.label }, ...choicesOf(name)]}
              value={chosen[name] ?? ""}
              onChange={(event) => onChoose(name, event.currentTarget.value)}
            />
          );
        })}
      </div>
    </Panel>
  );
}
