import { Button, Checkbox, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { type FormEvent, useMemo, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Model, RecipeKind, RunKind } from "@/api/types";
import { ago } from "@/shared/format";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import { launchRun, modelChoicesQuery, recipesQuery, snapshotChoicesQuery } from "../api/runs";
import {
  boundsText,
  defaultValues,
  type FormValues,
  fieldsOf,
  type RecipeField,
  readForm,
  shown,
} from "../recipe/fields";
import styles from "./run.module.css";

const KIND_ORDER = ["reward_model", "rejection_sampling", "ppo", "sample", "evaluate", "sft"];

const INPUTS: Record<string, { label: string; empty: string }> = {
  policy: { label: "Policy", empty: "There is no policy yet; an SFT run makes one." },
  reward_model: {
    label: "Reward model",
    empty: "There is no reward model yet; train one from the rankings first.",
  },
  snapshot: { label: "Snapshot", empty: "" },
};

/** What the server takes where nothing is chosen. */
function defaultInput(name: string, kind: string, models: readonly Model[]): string {
  if (name === "snapshot") return kind === "sft" ? "None" : "The current rankings, frozen now";
  if (name === "policy" && kind === "sft") return "None: start from the base model below";
  const offered = models.filter((model) => model.kind === name && model.stage !== "archived");
  const production = offered.find((model) => model.stage === "production");
  if (production) return `In production: ${production.name}`;
  if (!offered[0]) return "None yet";
  if (name === "policy" && (kind === "rejection_sampling" || kind === "ppo"))
    return "The one the reward model was trained from";
  return `Newest: ${offered[0].name}`;
}

type Choice = { value: string; label: string };

function modelChoices(models: readonly Model[], kind: string): Choice[] {
  return models
    .filter((model) => model.kind === kind && model.stage !== "archived")
    .map((model) => ({
      value: model.name,
      label: `${model.name} · ${ago(model.created_at)}${model.stage === "production" ? " · production" : ""}`,
    }));
}

function Setting({
  field,
  value,
  error,
  onChange,
}: {
  field: RecipeField;
  value: string | boolean;
  error: string | undefined;
  onChange: (value: string | boolean) => void;
}) {
  const changed = value !== shown(field, field.default);
  const label = <span className={changed ? styles.changed : undefined}>{field.label}</span>;
  const bounds = boundsText(field);
  const description = [field.help, field.kind === "json" && "As JSON.", bounds && `Allowed: ${bounds}.`]
    .filter(Boolean)
    .join(" ");
  const common = { label, description, error: error ?? false, name: field.name };
  if (field.kind === "boolean") {
    return (
      <Checkbox
        {...common}
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    );
  }
  if (field.kind === "choice") {
    const data = field.choices.map(String);
    return (
      <NativeSelect
        {...common}
        data={field.optional ? ["", ...data] : data}
        value={String(value)}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  return (
    <TextInput
      {...common}
      inputMode={field.kind === "integer" ? "numeric" : field.kind === "number" ? "decimal" : "text"}
      placeholder={field.optional ? "empty" : ""}
      value={String(value)}
      onChange={(event) => onChange(event.currentTarget.value)}
    />
  );
}

/** Settings and inputs of one kind; keyed by kind, so switching starts from that kind's defaults. */
function KindForm({ slug, kind, recipe }: { slug: string; kind: RunKind; recipe: RecipeKind }) {
  const search = useSearch({ from: "/shell/projects/$slug/runs/new" });
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const fields = useMemo(() => fieldsOf(recipe.schema as Record<string, unknown>), [recipe]);
  const [values, setValues] = useState<FormValues>(() => defaultValues(fields));
  const [inputs, setInputs] = useState<Record<string, string>>(() => ({
    ...(search.policy && { policy: search.policy }),
    ...(search.reward_model && { reward_model: search.reward_model }),
  }));
  const [tried, setTried] = useState(false);
  const models = useQuery(modelChoicesQuery(slug));
  const snapshots = useQuery(snapshotChoicesQuery(slug));

  const { recipe: settings, errors } = readForm(fields, values);
  const launch = useMutation({
    mutationFn: () =>
      launchRun({
        project: slug,
        kind,
        recipe: settings,
        inputs: Object.fromEntries(
          recipe.inputs.flatMap((name) => (inputs[name] ? [[name, inputs[name]]] : [])),
        ) as Record<string, string>,
      }),
    onSuccess: async (run) => {
      await queryClient.invalidateQueries({ queryKey: ["runs"] });
      await navigate({ to: "/projects/$slug/runs/$runId", params: { slug, runId: run.id } });
    },
  });

  const refused = launch.error instanceof ApiProblem ? launch.error.byField() : {};
  const errorOf = (name: string) =>
    (tried ? errors[name] : undefined) ?? refused[`recipe.${name}`] ?? refused[name];
  const inputErrorOf = (name: string) => refused[`inputs.${name}`] ?? refused[name];

  function choicesOf(name: string): Choice[] {
    if (name === "snapshot") {
      return (snapshots.data ?? []).map((one) => ({
        value: one.name,
        label: `${one.name} · ${one.rows} rankings`,
      }));
    }
    return modelChoices(models.data ?? [], name);
  }

  function submit(event: FormEvent) {
    event.preventDefault();
    setTried(true);
    if (Object.keys(errors).length === 0) launch.mutate();
  }

  return (
    <form className={styles.form} onSubmit={submit} noValidate>
      {recipe.inputs.length > 0 && (
        <Panel title="Inputs">
          <div className={styles.settings}>
            {recipe.inputs.map((name) => {
              const words = INPUTS[name] ?? { label: name, empty: "" };
              const choices = choicesOf(name);
              return (
                <NativeSelect
                  key={name}
                  name={`inputs.${name}`}
                  label={words.label}
                  description={models.isSuccess && choices.length === 0 ? words.empty : undefined}
                  error={inputErrorOf(name) ?? false}
                  data={[{ value: "", label: defaultInput(name, kind, models.data ?? []) }, ...choices]}
                  value={inputs[name] ?? ""}
                  onChange={(event) => setInputs({ ...inputs, [name]: event.currentTarget.value })}
                />
              );
            })}
          </div>
        </Panel>
      )}
      <Panel
        title="Settings"
        aside={
          Object.keys(settings).length > 0 && (
            <Button size="compact-xs" variant="subtle" onClick={() => setValues(defaultValues(fields))}>
              Back to defaults
            </Button>
          )
        }
      >
        <div className={styles.settings}>
          {fields.map((field) => (
            <Setting
              key={field.name}
              field={field}
              value={values[field.name] ?? ""}
              error={errorOf(field.name)}
              onChange={(value) => setValues({ ...values, [field.name]: value })}
            />
          ))}
        </div>
      </Panel>
      {launch.isError && <ProblemNotice error={launch.error} />}
      <div>
        <Button type="submit" loading={launch.isPending}>
          Launch run
        </Button>
      </div>
    </form>
  );
}

export function NewRunPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/runs/new" });
  const search = useSearch({ from: "/shell/projects/$slug/runs/new" });
  const navigate = useNavigate();
  const { data: me } = useSuspenseQuery(meQuery);
  const recipes = useQuery(recipesQuery);

  if (recipes.isError) {
    return (
      <Page title="New run">
        <ProblemNotice error={recipes.error} />
      </Page>
    );
  }
  if (!recipes.data || !me) return <Loading label="Loading recipes" />;
  if (!may.launchRuns(me)) {
    return (
      <Page title="New run">
        <EmptyState
          title="Only an admin may launch runs"
          actions={
            <Button renderRoot={(props) => <Link {...props} to="/projects/$slug/runs" params={{ slug }} />}>
              All runs
            </Button>
          }
        >
          <p>Training uses the shared machine. Ask an admin of this site to launch the run you need.</p>
        </EmptyState>
      </Page>
    );
  }
  const order = (kind: string) => (KIND_ORDER.includes(kind) ? KIND_ORDER.indexOf(kind) : KIND_ORDER.length);
  const kinds = Object.keys(recipes.data).sort((a, b) => order(a) - order(b));
  const kind = search.kind && recipes.data[search.kind] ? search.kind : (kinds[0] ?? "");
  const recipe = recipes.data[kind];

  return (
    <Page
      title="New run"
      lead="What differs from a default is marked; the rest is left as the recipe has it."
    >
      <fieldset className={styles.kinds}>
        <legend>What to do</legend>
        {kinds.map((option) => (
          <label key={option} className={styles.kind} data-checked={option === kind}>
            <input
              type="radio"
              className="visually-hidden"
              name="kind"
              value={option}
              checked={option === kind}
              onChange={() =>
                void navigate({
                  to: ".",
                  search: { ...search, kind: option },
                  replace: true,
                  resetScroll: false,
                })
              }
            />
            <b>{recipes.data[option]?.title}</b>
            <span>{recipes.data[option]?.description}</span>
          </label>
        ))}
      </fieldset>
      {recipe && <KindForm key={kind} slug={slug} kind={kind as RunKind} recipe={recipe} />}
    </Page>
  );
}
