import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Model } from "@/api/types";
import { ago, metric, tellingFirst } from "@/shared/format";
import { may, meQuery } from "@/shared/session";
import { Badge, EmptyState, Loading, Page, Panel, ProblemNotice, type Tone } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { archiveModel, modelsQuery, promoteModel } from "../api/models";
import { byDescent } from "../lineage";
import styles from "./models.module.css";

const STAGES: Record<Model["stage"], { tone: Tone; label: string }> = {
  candidate: { tone: "neutral", label: "candidate" },
  production: { tone: "good", label: "production" },
  archived: { tone: "neutral", label: "archived" },
};

const KINDS: { kind: Model["kind"]; title: string; about: string }[] = [
  { kind: "policy", title: "Policies", about: "write the responses" },
  { kind: "reward_model", title: "Reward models", about: "score them" },
];

const SHOWN_METRICS = 4;

function ModelRow({
  model,
  depth,
  slug,
  acts,
}: {
  model: Model;
  depth: number;
  slug: string;
  acts: boolean;
}) {
  const queryClient = useQueryClient();
  const change = useMutation({
    mutationFn: (verb: "promote" | "archive") =>
      verb === "promote" ? promoteModel(model.id) : archiveModel(model.id),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: ["models"] }),
  });
  const metrics = tellingFirst(model.metrics);
  const stage = STAGES[model.stage];
  return (
    <li
      className={styles.model}
      style={{ paddingInlineStart: 16 + Math.min(depth, 5) * 22 }}
      data-stage={model.stage}
    >
      <div className={styles.name}>
        {depth > 0 && <span className={styles.branch} aria-hidden="true" />}
        <div>
          <span className={ui.mono}>{model.name}</span> <Badge tone={stage.tone}>{stage.label}</Badge>
          <div className={styles.from}>
            {model.run && (
              <>
                made by a{" "}
                <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: model.run.id }}>
                  {model.run.kind.replaceAll("_", " ")} run
                </Link>
              </>
            )}
            {model.parent ? (
              <>
                {" "}
                from <span className={ui.mono}>{model.parent.name}</span>
              </>
            ) : (
              model.base_model && (
                <>
                  {" "}
                  from <span className={ui.mono}>{model.base_model}</span>
                </>
              )
            )}
            <span title={model.created_at}>, {ago(model.created_at)}</span>
          </div>
        </div>
      </div>
      <dl className={styles.metrics}>
        {metrics.slice(0, SHOWN_METRICS).map(([name, value]) => (
          <div key={name}>
            <dt>{name.replaceAll("_", " ")}</dt>
            <dd>{metric(value)}</dd>
          </div>
        ))}
      </dl>
      {acts && (
        <div className={ui.actions}>
          {model.stage !== "production" && (
            <Button
              size="compact-xs"
              variant="default"
              loading={change.isPending}
              onClick={() => change.mutate("promote")}
            >
              Promote
            </Button>
          )}
          {model.stage !== "archived" && (
            <Button
              size="compact-xs"
              variant="subtle"
              color="gray"
              loading={change.isPending}
              onClick={() => change.mutate("archive")}
            >
              Archive
            </Button>
          )}
        </div>
      )}
      {change.isError && <ProblemNotice error={change.error} />}
    </li>
  );
}

export function ModelsPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/models" });
  const { data: me } = useSuspenseQuery(meQuery);
  const models = useQuery(modelsQuery(slug));
  const acts = me ? may.launchRuns(me) : false;
  return (
    <Page title="Models" lead="What each model came from, how it measured, and which one is in production.">
      {models.isError && <ProblemNotice error={models.error} />}
      {models.isPending && <Loading label="Loading models" />}
      {models.data?.length === 0 && (
        <EmptyState
          title="No model yet"
          actions={
            acts && (
              <Button
                renderRoot={(props) => (
                  <Link {...props} to="/projects/$slug/runs/new" params={{ slug }} search={{ kind: "sft" }} />
                )}
              >
                Make a policy by SFT
              </Button>
            )
          }
        >
          <p>
            Runs make models. Each is named, keeps its lineage and starts as a candidate; promoting one is
            your decision.
          </p>
        </EmptyState>
      )}
      {KINDS.map(({ kind, title, about }) => {
        const placed = byDescent((models.data ?? []).filter((model) => model.kind === kind));
        return (
          placed.length > 0 && (
            <Panel key={kind} title={title} aside={<span className={ui.dim}>{about}</span>} flush>
              <ul className={styles.list}>
                {placed.map(({ model, depth }) => (
                  <ModelRow key={model.id} model={model} depth={depth} slug={slug} acts={acts} />
                ))}
              </ul>
            </Panel>
          )
        );
      })}
    </Page>
  );
}
