import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { JudgedPolicy, Model } from "@/api/types";
import { tellingFirst } from "@/shared/figures";
import { ago, moment } from "@/shared/format";
import { kindName } from "@/shared/kinds";
import { Badge, CopyLine } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { loadLine } from "../loading";
import { useTexts } from "../texts";
import { Evaluations } from "./Evaluations";
import { Metrics } from "./Metrics";
import styles from "./models.module.css";
import { type StageChange, StageDialog } from "./StageDialog";
import { TONES } from "./tones";

const SHOWN_METRICS = 4;
const INDENT_PX = 22;
const MOST_INDENTED = 5;

/** The origin of a model: the run, the base model, and the rankings or reward model used for training. */
function Origin({ model, slug }: { model: Model; slug: string }) {
  const texts = useTexts();
  const { run } = model;
  const start = model.parent?.name ?? model.base_model;
  const { snapshot } = run?.inputs ?? {};
  const judges = Object.entries(run?.inputs ?? {})
    .filter(([name]) => name.startsWith("reward_model"))
    .map(([, judge]) => judge)
    .join(", ");
  return (
    <div className={styles.from}>
      {run && (
        <>
          {texts.madeBy}{" "}
          <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: run.id }}>
            {texts.runOf(kindName(run.kind))}
          </Link>
        </>
      )}
      {start && (
        <>
          {" "}
          {model.weights === "adapter" ? texts.adapterOf : texts.from}{" "}
          <span className={ui.mono}>{start}</span>
        </>
      )}
      {judges && (
        <>
          {" "}
          {texts.with} <span className={ui.mono}>{judges}</span>
        </>
      )}
      {snapshot && (
        <>
          {" "}
          {texts.onSnapshot} <span className={ui.mono}>{snapshot}</span>
        </>
      )}
      <span title={moment(model.created_at)}>, {ago(model.created_at)}</span>
    </div>
  );
}

export function ModelRow({
  model,
  depth,
  slug,
  acts,
  judged,
  scale,
  inProduction,
}: {
  model: Model;
  depth: number;
  slug: string;
  acts: boolean;
  judged: readonly JudgedPolicy[];
  scale: { low: number; high: number };
  inProduction: Model | undefined;
}) {
  const texts = useTexts();
  const [change, setChange] = useState<StageChange | null>(null);
  const metrics = tellingFirst(model.metrics);
  return (
    <li
      className={styles.model}
      style={{ paddingInlineStart: 16 + Math.min(depth, MOST_INDENTED) * INDENT_PX }}
      data-stage={model.stage}
    >
      <div className={styles.head}>
        <div className={styles.name}>
          {depth > 0 && <span className={styles.branch} aria-hidden="true" />}
          <div>
            <Link
              className={ui.mono}
              to="/projects/$slug/models/$modelId"
              params={{ slug, modelId: model.id }}
              title={texts.report}
            >
              {model.name}
            </Link>{" "}
            <Badge tone={TONES[model.stage]}>{texts.stages[model.stage]}</Badge>
            <Origin model={model} slug={slug} />
          </div>
        </div>
        <Metrics metrics={metrics.slice(0, SHOWN_METRICS)} />
        {acts && (
          <div className={ui.actions}>
            {model.kind === "policy" && (
              <Button
                size="compact-xs"
                variant="default"
                renderRoot={(props) => (
                  <Link
                    {...props}
                    to="/projects/$slug/runs/new"
                    params={{ slug }}
                    search={{ kind: "evaluate", policy: model.name }}
                  />
                )}
              >
                {texts.evaluate}
              </Button>
            )}
            {model.stage !== "production" && (
              <Button size="compact-xs" variant="default" onClick={() => setChange("promote")}>
                {texts.promote}
              </Button>
            )}
            {model.stage === "production" && (
              <Button size="compact-xs" variant="default" onClick={() => setChange("demote")}>
                {texts.demote}
              </Button>
            )}
            {model.stage === "candidate" && (
              <Button size="compact-xs" variant="subtle" color="gray" onClick={() => setChange("archive")}>
                {texts.archive}
              </Button>
            )}
          </div>
        )}
      </div>
      {judged.length > 0 && <Evaluations model={model} judged={judged} slug={slug} scale={scale} />}
      <details className={styles.more}>
        <summary>{texts.details}</summary>
        <div className={styles.inside}>
          <div>
            <h3>{texts.load}</h3>
            <CopyLine text={loadLine(model)} label={texts.copy} />
            <p className={ui.dim}>{texts.loadWhy}</p>
          </div>
          <div>
            <h3>{texts.metrics}</h3>
            {metrics.length === 0 && <p className={ui.dim}>{texts.noMetrics}</p>}
            <Metrics metrics={metrics} />
          </div>
        </div>
      </details>
      {change && (
        <StageDialog
          model={model}
          change={change}
          inProduction={inProduction}
          onClose={() => setChange(null)}
        />
      )}
    </li>
  );
}
