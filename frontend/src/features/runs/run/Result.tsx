import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { figureName, tellingFirst } from "@/shared/figures";
import { metric } from "@/shared/format";
import { Notice, Stats } from "@/shared/ui";
import { type RunTexts, useTexts } from "../texts";

/** The result of a finished run, with links to the usual next steps. */
export function Result({ run, slug }: { run: Run; slug: string }) {
  const texts = useTexts().result;
  const { model, counts = {}, metrics = {} } = run.result;
  const figures = [
    ...tellingFirst(metrics),
    ...Object.entries(counts).filter(([, value]) => value !== 0),
  ].map(([name, value]) => ({ label: figureName(name), value: metric(value) }));
  return (
    <>
      <Notice tone="good" title={headline(run, texts)} actions={<Next run={run} slug={slug} />}>
        {model && <p>{texts.onModels}</p>}
        {run.kind === "sample" && <p>{texts.served}</p>}
      </Notice>
      {figures.length > 0 && <Stats items={figures.slice(0, 12)} />}
    </>
  );
}

function headline(run: Run, texts: RunTexts["result"]): string {
  if (run.result.model) return texts.made(run.result.model.name);
  const tasks = run.result.counts?.tasks;
  if (run.kind === "evaluate" && run.inputs.policy) return texts.evaluated(run.inputs.policy);
  return run.kind === "sample" && tasks !== undefined ? texts.sampled(tasks) : texts.done;
}

function Next({ run, slug }: { run: Run; slug: string }) {
  const texts = useTexts().result;
  const model = run.result.model?.name;
  const to = (kind: string, search: Record<string, string>, label: string) => (
    <Button
      key={kind}
      size="xs"
      variant="default"
      renderRoot={(props) => (
        <Link {...props} to="/projects/$slug/runs/new" params={{ slug }} search={{ kind, ...search }} />
      )}
    >
      {label}
    </Button>
  );
  switch (run.kind) {
    case "reward_model":
      return (
        model && (
          <>
            {run.result.model && (
              <Button
                size="xs"
                variant="filled"
                renderRoot={(props) => (
                  <Link
                    {...props}
                    to="/projects/$slug/models/$modelId"
                    params={{ slug, modelId: run.result.model?.id ?? "" }}
                  />
                )}
              >
                {texts.toReport}
              </Button>
            )}
            {to("rejection_sampling", { reward_model: model }, texts.toRejectionSampling)}
            {to("rloo", { reward_model: model }, texts.toRloo)}
            {to("ppo", { reward_model: model }, texts.toPpo)}
          </>
        )
      );
    case "rejection_sampling":
    case "rloo":
    case "ppo":
    case "dpo":
    case "sft":
      return (
        model && (
          <>
            {to("sample", { policy: model }, texts.toSample)}
            {to("evaluate", { policy: model }, texts.toEvaluate)}
          </>
        )
      );
    case "sample":
      return (
        <Button
          size="xs"
          variant="default"
          renderRoot={(props) => <Link {...props} to="/projects/$slug/rank" params={{ slug }} />}
        >
          {texts.rank}
        </Button>
      );
    default:
      return null;
  }
}
