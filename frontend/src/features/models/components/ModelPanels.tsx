import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Lineage, Model } from "@/api/types";
import { tellingFirst } from "@/shared/figures";
import { count, moment } from "@/shared/format";
import { kindName } from "@/shared/kinds";
import { Markdown } from "@/shared/markdown/Markdown";
import { Badge, Loading, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { cardQuery, historyQuery, lineageQuery } from "../api/models";
import { useTexts } from "../texts";
import { Metrics } from "./Metrics";
import styles from "./models.module.css";
import { TONES } from "./tones";

/** The parts of a model's page that models of every kind have: lineage, metrics, history and card. */
export function ModelPanels({ model, slug }: { model: Model; slug: string }) {
  return (
    <>
      <LineagePanel model={model} slug={slug} />
      <MetricsPanel model={model} />
      <HistoryPanel model={model} />
      <CardPanel model={model} />
    </>
  );
}

type Ref = Lineage["ancestors"][number];

function Models({ models, slug }: { models: readonly Ref[]; slug: string }) {
  return (
    <ul className={styles.refs}>
      {models.map(({ id, name, stage }) => (
        <li key={id}>
          <Link className={ui.mono} to="/projects/$slug/models/$modelId" params={{ slug, modelId: id }}>
            {name}
          </Link>{" "}
          {stage === "production" && <StageBadge stage={stage} />}
        </li>
      ))}
    </ul>
  );
}

function StageBadge({ stage }: { stage: Ref["stage"] }) {
  const texts = useTexts();
  return <Badge tone={TONES[stage]}>{texts.stages[stage]}</Badge>;
}

function LineagePanel({ model, slug }: { model: Model; slug: string }) {
  const { page: texts } = useTexts();
  const found = useQuery(lineageQuery(model.id));
  return (
    <Panel title={texts.lineage} aside={<StageBadge stage={model.stage} />}>
      {found.isPending && <Loading label={texts.loading} />}
      {found.isError && <ProblemNotice error={found.error} />}
      {found.data && <LineageFacts model={model} slug={slug} lineage={found.data} />}
    </Panel>
  );
}

function LineageFacts({ model, slug, lineage }: { model: Model; slug: string; lineage: Lineage }) {
  const { page: texts } = useTexts();
  const { snapshot } = lineage;
  return (
    <dl className={styles.facts}>
      <dt>{texts.base}</dt>
      <dd className={ui.mono}>{model.base_model}</dd>
      {model.run && (
        <>
          <dt>{texts.run}</dt>
          <dd>
            <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: model.run.id }}>
              {kindName(model.run.kind)}
            </Link>
            , {moment(model.created_at)}
          </dd>
        </>
      )}
      {lineage.ancestors.length > 0 && (
        <>
          <dt>{texts.ancestors}</dt>
          <dd>
            <Models models={lineage.ancestors} slug={slug} />
          </dd>
        </>
      )}
      {lineage.reward_models.length > 0 && (
        <>
          <dt>{texts.rewardModels}</dt>
          <dd>
            <Models models={lineage.reward_models} slug={slug} />
          </dd>
        </>
      )}
      {snapshot && (
        <>
          <dt>{texts.snapshot}</dt>
          <dd>
            <span className={ui.mono}>{snapshot.name}</span>,{" "}
            {texts.rankings(snapshot.rankings, snapshot.comparisons, snapshot.annotators)}
          </dd>
        </>
      )}
      {lineage.children.length > 0 && (
        <>
          <dt>{texts.children}</dt>
          <dd>
            <Models models={lineage.children} slug={slug} />
          </dd>
        </>
      )}
      {lineage.used_by.length > 0 && (
        <>
          <dt>{texts.usedBy}</dt>
          <dd>
            <ul className={styles.refs}>
              {lineage.used_by.map(({ id, kind, created_at }) => (
                <li key={id}>
                  <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: id }}>
                    {kindName(kind)}
                  </Link>
                  , {moment(created_at)}
                </li>
              ))}
            </ul>
          </dd>
        </>
      )}
      {lineage.responses > 0 && (
        <>
          <dt>{texts.responses}</dt>
          <dd>{count(lineage.responses)}</dd>
        </>
      )}
    </dl>
  );
}

function MetricsPanel({ model }: { model: Model }) {
  const texts = useTexts();
  const metrics = tellingFirst(model.metrics);
  return (
    <Panel title={texts.metrics}>
      {metrics.length === 0 && <p className={ui.dim}>{texts.noMetrics}</p>}
      <Metrics metrics={metrics} />
    </Panel>
  );
}

function HistoryPanel({ model }: { model: Model }) {
  const texts = useTexts();
  const found = useQuery(historyQuery(model.id));
  const changes = found.data?.changes ?? [];
  const gates = found.data?.gates ?? [];
  return (
    <Panel title={texts.page.history}>
      {found.isPending && <Loading label={texts.page.loading} />}
      {found.isError && <ProblemNotice error={found.error} />}
      {found.data && changes.length === 0 && gates.length === 0 && (
        <p className={ui.dim}>{texts.page.noHistory}</p>
      )}
      <ul className={styles.history}>
        {changes.map((change) => (
          <li key={change.created_at}>
            {moment(change.created_at)}: {texts.stages[change.before]} → {texts.stages[change.after]},{" "}
            {texts.page.by(change.by)}
            {change.reason && <p className={ui.dim}>{change.reason}</p>}
          </li>
        ))}
        {gates.map((gate) => (
          <li key={gate.id}>
            {moment(gate.created_at)}: {texts.page.gates[gate.state]}
            {gate.reason && <p className={ui.dim}>{gate.reason}</p>}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function CardPanel({ model }: { model: Model }) {
  const { page: texts } = useTexts();
  const card = useQuery(cardQuery(model.id));
  return (
    <Panel
      title={texts.card}
      aside={
        card.data && (
          <Button
            size="compact-xs"
            variant="default"
            component="a"
            href={`data:text/markdown;charset=utf-8,${encodeURIComponent(card.data)}`}
            download={`${model.name}.md`}
          >
            {texts.download}
          </Button>
        )
      }
    >
      {card.isPending && <Loading label={texts.loading} />}
      {card.isError && <ProblemNotice error={card.error} />}
      {/* The hub reads the lines between the first two dashes; people don't need them. */}
      {card.data && <Markdown text={card.data.replace(/^---\n[\s\S]*?\n---\n/, "")} />}
    </Panel>
  );
}
