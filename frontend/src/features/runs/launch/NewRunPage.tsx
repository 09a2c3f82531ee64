import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import type { RunKind } from "@/api/types";
import { may, meQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { modelChoicesQuery, recipesQuery, runQuery, snapshotChoicesQuery } from "../api/runs";
import { useTexts } from "../texts";
import { KindForm } from "./KindForm";
import styles from "./launch.module.css";

const KIND_ORDER = ["reward_model", "rejection_sampling", "dpo", "rloo", "ppo", "sample", "evaluate", "sft"];

export function NewRunPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/runs/new" });
  const search = useSearch({ from: "/shell/projects/$slug/runs/new" });
  const navigate = useNavigate();
  const texts = useTexts().launch;
  const { data: me } = useSuspenseQuery(meQuery);
  const recipes = useQuery(recipesQuery);
  const models = useQuery(modelChoicesQuery(slug));
  const snapshots = useQuery(snapshotChoicesQuery(slug));
  const earlier = useQuery({ ...runQuery(search.from ?? ""), enabled: search.from !== undefined });

  const failed = [recipes, models, snapshots, earlier].find((query) => query.isError);
  if (failed) {
    return (
      <Page title={texts.title}>
        <ProblemNotice error={failed.error} />
      </Page>
    );
  }
  if (me && !may.launchRuns(me)) {
    return (
      <Page title={texts.title}>
        <EmptyState
          title={texts.adminsOnly}
          actions={
            <Button renderRoot={(props) => <Link {...props} to="/projects/$slug/runs" params={{ slug }} />}>
              {texts.allRuns}
            </Button>
          }
        >
          <p>{texts.adminsOnlyWhy}</p>
        </EmptyState>
      </Page>
    );
  }
  if (!recipes.data || !models.data || !snapshots.data || (search.from && !earlier.data)) {
    return <Loading label={texts.loading} />;
  }
  const order = (kind: string) => (KIND_ORDER.includes(kind) ? KIND_ORDER.indexOf(kind) : KIND_ORDER.length);
  const kinds = Object.keys(recipes.data).sort((a, b) => order(a) - order(b));
  const wanted = search.kind ?? earlier.data?.kind;
  const kind = wanted && recipes.data[wanted] ? wanted : (kinds[0] ?? "");
  const recipe = recipes.data[kind];
  const again = earlier.data?.kind === kind ? earlier.data : undefined;

  return (
    <Page title={texts.title} lead={texts.lead}>
      <fieldset className={styles.kinds}>
        <legend>{texts.what}</legend>
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
      {recipe && (
        <KindForm
          key={`${kind} ${again?.id ?? ""}`}
          slug={slug}
          kind={kind as RunKind}
          recipe={recipe}
          models={models.data}
          snapshots={snapshots.data}
          again={again}
        />
      )}
    </Page>
  );
}
