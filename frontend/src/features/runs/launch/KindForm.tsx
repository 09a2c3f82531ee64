import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Model, RecipeKind, Run, RunKind, Snapshot } from "@/api/types";
import { Notice, ProblemNotice } from "@/shared/ui";
import { launchRun } from "../api/runs";
import { defaultValues, type FormValues, fieldsOf, readForm } from "../recipe/fields";
import { useTexts } from "../texts";
import { EstimatePanel } from "./EstimatePanel";
import { InputsPanel } from "./InputsPanel";
import { inputsAgain, offeredModels } from "./inputs";
import styles from "./launch.module.css";
import { valuesFrom } from "./presets";
import { SettingsPanel } from "./SettingsPanel";

type Props = {
  slug: string;
  kind: RunKind;
  recipe: RecipeKind;
  models: readonly Model[];
  snapshots: readonly Snapshot[];
  /** The run that provides the initial settings and inputs of the form. */
  again: Run | undefined;
};

/**
 * The settings and inputs of one kind of run. The component is keyed by kind, so that each kind starts with
 * its own defaults.
 */
export function KindForm({ slug, kind, recipe, models, snapshots, again }: Props) {
  const search = useSearch({ from: "/shell/projects/$slug/runs/new" });
  const texts = useTexts().launch;
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const fields = useMemo(() => fieldsOf(recipe.schema as Record<string, unknown>), [recipe]);
  const [values, setValues] = useState<FormValues>(() =>
    again ? valuesFrom(fields, again.recipe) : defaultValues(fields),
  );
  const [before] = useState(() =>
    inputsAgain(again?.inputs ?? {}, (name) =>
      name === "snapshot"
        ? snapshots.map((snapshot) => snapshot.name)
        : offeredModels(models, name).map((model) => model.name),
    ),
  );
  const [chosen, setChosen] = useState<Record<string, string>>(() => ({
    ...before.inputs,
    ...(search.policy && { policy: search.policy }),
    ...(search.reward_model && { reward_model: search.reward_model }),
  }));
  const [tried, setTried] = useState(false);

  const { recipe: settings, errors } = readForm(fields, values);
  const inputs = Object.fromEntries(
    recipe.inputs.flatMap((name) => (chosen[name] ? [[name, chosen[name]]] : [])),
  ) as Record<string, string>;
  const body = { project: slug, kind, recipe: settings, inputs };
  const launch = useMutation({
    mutationFn: (force: boolean) => launchRun({ ...body, force }),
    onSuccess: async (run) => {
      await queryClient.invalidateQueries({ queryKey: ["runs"] });
      await navigate({ to: "/projects/$slug/runs/$runId", params: { slug, runId: run.id } });
    },
  });

  const named = offeredModels(models, "reward_model").map((model) => model.name);
  const rewardModels = named.length > 0 ? texts.rewardModelsHere(named.join(", ")) : undefined;
  const refused = launch.error instanceof ApiProblem ? launch.error.byField() : {};
  const errorOf = (name: string) =>
    (tried ? errors[name] : undefined) ?? refused[`recipe.${name}`] ?? refused[name];

  function submit(event: FormEvent) {
    event.preventDefault();
    setTried(true);
    if (Object.keys(errors).length === 0) launch.mutate(false);
  }

  return (
    <form className={styles.form} onSubmit={submit} noValidate>
      {again && (
        <Notice
          tone={again.failure ? "warn" : "info"}
          title={again.failure ? texts.again(again.failure.title) : texts.againPlain}
        >
          <p>{again.failure ? again.failure.fix : texts.againWhy}</p>
          {before.gone.length > 0 && <p>{texts.gone(before.gone.join(", "))}</p>}
        </Notice>
      )}
      {recipe.inputs.length > 0 && (
        <InputsPanel
          kind={kind}
          recipe={recipe}
          models={models}
          snapshots={snapshots}
          chosen={chosen}
          onChoose={(name, value) => setChosen({ ...chosen, [name]: value })}
          errorOf={(name) => refused[`inputs.${name}`] ?? refused[name]}
        />
      )}
      <SettingsPanel
        fields={fields}
        recipe={recipe}
        values={values}
        onValues={setValues}
        errorOf={errorOf}
        suspects={again?.failure?.settings ?? []}
        hints={{ reward_weights: rewardModels, reward_floors: rewardModels }}
      />
      <EstimatePanel body={body} valid={Object.keys(errors).length === 0} />
      {launch.isError && (
        <ProblemNotice
          error={launch.error}
          actions={
            launch.error instanceof ApiProblem &&
            launch.error.type === "does-not-fit" && (
              <Button variant="default" onClick={() => launch.mutate(true)}>
                {texts.anyway}
              </Button>
            )
          }
        />
      )}
      <div>
        <Button type="submit" loading={launch.isPending}>
          {texts.launch}
        </Button>
      </div>
    </form>
  );
}
