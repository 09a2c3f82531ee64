import { Button } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import type { Run } from "@/api/types";
import { kindTitle } from "@/shared/kinds";
import { EmptyState, Loading, Notice, Page } from "@/shared/ui";
import { feedQuery, runQuery } from "../api/runs";
import { EMPTY_FEED } from "../feed/feed";
import { useTexts } from "../texts";
import { CompareCurves } from "./CompareCurves";
import { CompareSamples } from "./CompareSamples";
import { ComparedRuns, Differences, FinalFigures } from "./CompareTables";
import { labelsOf } from "./compare";
import { picked } from "./pick";

export function ComparePage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/runs/compare" });
  const search = useSearch({ from: "/shell/projects/$slug/runs/compare" });
  const navigate = useNavigate();
  const texts = useTexts().compare;
  const ids = picked(search.runs);
  const asked = useQueries({ queries: ids.map((id) => runQuery(id)) });
  const runs = asked.flatMap(({ data }): Run[] => (data ? [data] : []));
  const feeds = useQueries({ queries: runs.map((run) => feedQuery(run)) }).map(
    ({ data }) => data ?? EMPTY_FEED,
  );
  const missing = asked.filter((query) => query.isError).length;
  const choose = (
    <Button
      variant="default"
      renderRoot={(props) => (
        <Link
          {...props}
          to="/projects/$slug/runs"
          params={{ slug }}
          search={ids.length > 0 ? { pick: ids.join(",") } : {}}
        />
      )}
    >
      {texts.choose}
    </Button>
  );

  if (asked.some((query) => query.isPending)) return <Loading label={texts.loading} />;
  const labels = labelsOf(runs, kindTitle);
  return (
    <Page title={texts.title} lead={texts.lead} actions={choose}>
      {missing > 0 && <Notice tone="warn" title={texts.missing(missing)} />}
      {runs.length < 2 ? (
        <EmptyState title={texts.few} actions={choose}>
          <p>{texts.fewWhy}</p>
        </EmptyState>
      ) : (
        <>
          <ComparedRuns
            slug={slug}
            runs={runs}
            labels={labels}
            onLeaveOut={(id) =>
              void navigate({
                to: ".",
                search: { runs: ids.filter((other) => other !== id).join(",") },
                replace: true,
                resetScroll: false,
              })
            }
          />
          <CompareCurves feeds={feeds} labels={labels} />
          <Differences runs={runs} labels={labels} />
          <FinalFigures runs={runs} labels={labels} />
          <CompareSamples feeds={feeds} labels={labels} />
        </>
      )}
    </Page>
  );
}
