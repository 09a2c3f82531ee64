import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import type { Model } from "@/api/types";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { judgedQuery, modelsQuery } from "../api/models";
import { scaleOf } from "../interval";
import { byDescent } from "../lineage";
import { useTexts } from "../texts";
import { ModelRow } from "./ModelRow";
import styles from "./models.module.css";

export function ModelsPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/models" });
  const { data: me } = useSuspenseQuery(meQuery);
  const texts = useTexts();
  const models = useQuery(modelsQuery(slug));
  const judged = useQuery(judgedQuery(slug));
  const acts = me ? may.launchRuns(me) : false;
  const kinds: { kind: Model["kind"]; title: string; about: string }[] = [
    { kind: "policy", title: texts.policies, about: texts.policiesWrite },
    { kind: "reward_model", title: texts.rewardModels, about: texts.rewardModelsScore },
  ];
  const scale = scaleOf(
    (judged.data ?? []).flatMap(({ gain }) =>
      gain ? [{ low: gain.low, middle: gain.difference, high: gain.high }] : [],
    ),
  );
  return (
    <Page title={texts.title} lead={texts.lead}>
      {models.isError && <ProblemNotice error={models.error} />}
      {judged.isError && <ProblemNotice error={judged.error} />}
      {models.isPending && <Loading label={texts.loading} />}
      {models.data?.length === 0 && (
        <EmptyState
          title={texts.none}
          actions={
            acts && (
              <Button
                renderRoot={(props) => (
                  <Link {...props} to="/projects/$slug/runs/new" params={{ slug }} search={{ kind: "sft" }} />
                )}
              >
                {texts.make}
              </Button>
            )
          }
        >
          <p>{texts.noneWhy}</p>
        </EmptyState>
      )}
      {kinds.map(({ kind, title, about }) => {
        const ofKind = (models.data ?? []).filter((model) => model.kind === kind);
        const inProduction = ofKind.find((model) => model.stage === "production");
        return (
          ofKind.length > 0 && (
            <Panel key={kind} title={title} aside={<span className={ui.dim}>{about}</span>} flush>
              <ul className={styles.list}>
                {byDescent(ofKind).map(({ model, depth }) => (
                  <ModelRow
                    key={model.id}
                    model={model}
                    depth={depth}
                    slug={slug}
                    acts={acts}
                    judged={(judged.data ?? []).filter((one) => one.model === model.id)}
                    scale={scale}
                    inProduction={inProduction}
                  />
                ))}
              </ul>
            </Panel>
          )
        );
      })}
      {judged.data?.some(({ gain }) => gain) && <p className={ui.dim}>{texts.intervalNote}</p>}
    </Page>
  );
}
