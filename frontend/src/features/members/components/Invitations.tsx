import { Button, Checkbox } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Invitation } from "@/api/types";
import { moment } from "@/shared/format";
import { Badge, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import ui from "@/shared/ui/ui.module.css";
import { invitationsQuery, revokeInvitation } from "../api/members";
import { useTexts } from "../texts";
import styles from "./members.module.css";

/** Shows open invitations and, on request, closed ones. Renders nothing until the first invitation is created. */
export function Invitations({ slug }: { slug: string }) {
  const t = useTexts().invite;
  const [all, setAll] = useState(false);
  const queryClient = useQueryClient();
  const invitations = useInfiniteQuery(invitationsQuery(slug));
  const revoke = useMutation({
    mutationFn: revokeInvitation,
    onSettled: () => queryClient.invalidateQueries({ queryKey: invitationsQuery(slug).queryKey }),
  });
  const made = invitations.data?.pages.flatMap(({ results }) => results) ?? [];
  const shown = made.filter(({ state }) => all || state === "open");
  if (invitations.isError) return <ProblemNotice error={invitations.error} />;
  if (made.length === 0) return null;
  return (
    <Panel
      title={t.list}
      flush
      aside={
        <Checkbox
          size="xs"
          label={t.showAll}
          checked={all}
          onChange={(event) => setAll(event.currentTarget.checked)}
        />
      }
    >
      {revoke.isError && <ProblemNotice error={revoke.error} />}
      {shown.length === 0 ? (
        <p className={styles.none}>{t.none}</p>
      ) : (
        <InvitationsTable
          invitations={shown}
          revoking={revoke.isPending ? revoke.variables : null}
          onRevoke={(id) => revoke.mutate(id)}
        />
      )}
      <MoreButton query={invitations} />
    </Panel>
  );
}

function InvitationsTable({
  invitations,
  revoking,
  onRevoke,
}: {
  invitations: readonly Invitation[];
  revoking: string | null;
  onRevoke: (id: string) => void;
}) {
  const { roles, role, invite: t } = useTexts();
  return (
    <TableScroll label={t.list}>
      <thead>
        <tr>
          <th>{t.who}</th>
          <th>{role}</th>
          <th>{t.state}</th>
          <th>{t.ends}</th>
          <th>{t.by}</th>
          <th>
            <span className="visually-hidden">{t.revoke}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {invitations.map((invitation) => (
          <tr key={invitation.id}>
            <td>{invitation.note || "–"}</td>
            <td>{roles[invitation.role].title}</td>
            <td>
              <Badge tone={invitation.state === "open" ? "info" : "neutral"}>
                {invitation.accepted_by ? t.acceptedBy(invitation.accepted_by) : t.states[invitation.state]}
              </Badge>
            </td>
            <td className={styles.when}>{moment(invitation.expires_at)}</td>
            <td>{invitation.created_by ?? "–"}</td>
            <td className={ui.number}>
              {invitation.state === "open" && (
                <Button
                  size="compact-xs"
                  variant="default"
                  aria-label={t.revokeNamed(invitation.note)}
                  loading={revoking === invitation.id}
                  onClick={() => onRevoke(invitation.id)}
                >
                  {t.revoke}
                </Button>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </TableScroll>
  );
}
