import { useInfiniteQuery, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { projectQuery } from "@/shared/session";
import { EmptyState, Loading, Page, ProblemNotice } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import { membersQuery } from "../api/members";
import { useTexts } from "../texts";
import { AddMember } from "./AddMember";
import { Invitations } from "./Invitations";
import { InvitePanel } from "./InvitePanel";
import { MembersTable } from "./MembersTable";

export function MembersPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/members" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const members = useInfiniteQuery(membersQuery(slug));
  const rows = members.data?.pages.flatMap(({ results }) => results) ?? [];
  return (
    <Page title={t.title} lead={t.lead}>
      <InvitePanel slug={slug} />
      <Invitations slug={slug} />
      <AddMember slug={slug} />
      {members.isError && <ProblemNotice error={members.error} />}
      {members.isPending && <Loading label={t.loading} />}
      {members.data && rows.length === 0 && (
        <EmptyState title={t.emptyTitle}>
          <p>{t.emptyText}</p>
        </EmptyState>
      )}
      {rows.length > 0 && <MembersTable project={project} members={rows} />}
      <MoreButton query={members} />
    </Page>
  );
}
