import { Button } from "@mantine/core";
import { useQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { may, meQuery, projectQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { qualityQuery } from "../api/quality";
import { useTexts } from "../texts";
import { AgreementOverTime } from "./AgreementOverTime";
import { AgreementPanel, BiasPanel } from "./AgreementPanel";
import { AnnotatorsPanel } from "./AnnotatorsPanel";
import { DisagreementPanel } from "./DisagreementPanel";
import { ExclusionsPanel } from "./ExclusionsPanel";
import { PairMatrix } from "./PairMatrix";
import { Thresholds } from "./Thresholds";

export function QualityPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/quality" });
  const { data: me } = useSuspenseQuery(meQuery);
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const { data: quality, error, isPending } = useQuery(qualityQuery(slug));
  const manages = me ? may.manage(me, project) : false;
  return (
    <Page title={t.title} lead={t.lead}>
      {error && <ProblemNotice error={error} />}
      {isPending && <Loading label={t.computing} />}
      {quality && quality.n_shared_tasks === 0 && (
        <EmptyState
          title={t.empty.title}
          actions={
            manages && (
              <Button
                variant="default"
                renderRoot={(props) => <Link {...props} to="/projects/$slug/settings" params={{ slug }} />}
              >
                {t.empty.action}
              </Button>
            )
          }
        >
          <p>{quality.annotators.length === 0 ? t.empty.text : t.empty.unshared}</p>
        </EmptyState>
      )}
      {quality && quality.n_shared_tasks > 0 && <AgreementPanel quality={quality} />}
      {quality && <AgreementOverTime days={quality.per_day} />}
      {quality && quality.annotators.length > 0 && (
        <AnnotatorsPanel slug={slug} quality={quality} manages={manages} />
      )}
      {quality && <BiasPanel quality={quality} />}
      {quality && <PairMatrix between={quality.between} />}
      <DisagreementPanel project={project} />
      {manages && <ExclusionsPanel slug={slug} />}
      <Thresholds project={project} />
    </Page>
  );
}
