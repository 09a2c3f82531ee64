import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { metric, tellingFirst, words } from "@/shared/format";
import { Notice, Stats } from "@/shared/ui";

/** What a finished run made, and the run that usually comes next. */
export function Result({ run, slug }: { run: Run; slug: string }) {
  const { model, counts = {}, metrics = {} } = run.result;
  const figures = [
    ...tellingFirst(metrics),
    ...Object.entries(counts).filter(([, value]) => value !== 0),
  ].map(([name, value]) => ({ label: words(name), value: metric(value) }));
  return (
    <>
      <Notice tone="good" title={headline(run)} actions={<Next run={run} slug={slug} />}>
        {model && <p>Its lineage, figures and stage are on the Models page.</p>}
        {run.kind === "sample" && <p>Annotators are served them from now on.</p>}
      </Notice>
      {figures.length > 0 && <Stats items={figures.slice(0, 12)} />}
    </>
  );
}

function headline(run: Run): string {
  if (run.result.model) return `Made ${run.result.model.name}`;
  const tasks = run.result.counts?.tasks;
  if (run.kind === "sample" && tasks !== undefined)
    return `The policy’s answers became ${tasks} ranking tasks`;
  return "Done";
}

function Next({ run, slug }: { run: Run; slug: string }) {
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
            {to("rejection_sampling", { reward_model: model }, "Improve a policy by rejection sampling")}
            {to("ppo", { reward_model: model }, "Improve a policy by PPO")}
          </>
        )
      );
    case "rejection_sampling":
    case "ppo":
    case "sft":
      return (
        model && (
          <>
            {to("sample", { policy: model }, "Let it answer prompts to rank")}
            {to("evaluate", { policy: model }, "Evaluate it")}
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
          Rank them
        </Button>
      );
    default:
      return null;
  }
}
