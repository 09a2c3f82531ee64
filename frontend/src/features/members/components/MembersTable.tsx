import { Button, NativeSelect } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Member, Project, Role } from "@/api/types";
import { ago, moment } from "@/shared/format";
import { meQuery } from "@/shared/session";
import { Badge, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { grantAttempt, type MemberChange, putMember } from "../api/members";
import { qualificationOf } from "../qualification";
import { useTexts } from "../texts";
import { GiveUpDialog, PauseDialog } from "./MemberDialogs";
import styles from "./members.module.css";

const ROLES: readonly Role[] = ["annotator", "reviewer", "manager"];

type Asking = { kind: "pause"; member: Member } | { kind: "giveUp"; member: Member; role: Role } | null;

export function MembersTable({ project, members }: { project: Project; members: readonly Member[] }) {
  const t = useTexts();
  const { slug } = project;
  const queryClient = useQueryClient();
  const { data: me } = useQuery(meQuery);
  const [asking, setAsking] = useState<Asking>(null);
  const refresh = () =>
    Promise.all([
      queryClient.invalidateQueries({ queryKey: ["members", slug] }),
      queryClient.invalidateQueries({ queryKey: ["projects", slug], exact: true }),
    ]);
  const change = useMutation({
    mutationFn: (wanted: MemberChange) => putMember(slug, wanted),
    onSuccess: async () => {
      setAsking(null);
      await refresh();
    },
  });
  const grant = useMutation({
    mutationFn: (username: string) => grantAttempt(slug, username),
    onSettled: refresh,
  });
  const busy = (name: string) =>
    (change.isPending && change.variables.username === name) || (grant.isPending && grant.variables === name);

  function giveRole(member: Member, role: Role) {
    const giveUp = member.username === me?.username && !me.is_admin && member.role === "manager";
    if (giveUp) setAsking({ kind: "giveUp", member, role });
    else change.mutate({ username: member.username, role });
  }

  return (
    <Panel title={t.title} flush>
      {change.isError && asking === null && <ProblemNotice error={change.error} />}
      {grant.isError && <ProblemNotice error={grant.error} />}
      <TableScroll label={t.title}>
        <thead>
          <tr>
            <th>{t.member}</th>
            <th>{t.role}</th>
            <th>{t.state}</th>
            <th>{t.since}</th>
            <th>
              <span className="visually-hidden">{t.actions}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {members.map((member) => (
            <tr key={member.username}>
              <td>
                {member.username}
                {member.username === me?.username && <span className={ui.dim}> ({t.you})</span>}
              </td>
              <td>
                <NativeSelect
                  size="xs"
                  className={styles.role ?? ""}
                  aria-label={t.roleOf(member.username)}
                  data={ROLES.map((value) => ({ value, label: t.roles[value].title }))}
                  value={member.role}
                  disabled={busy(member.username)}
                  onChange={(event) => giveRole(member, event.currentTarget.value as Role)}
                />
              </td>
              <td>
                <State project={project} member={member} />
              </td>
              <td className={styles.when} title={moment(member.created_at)}>
                {ago(member.created_at)}
              </td>
              <td className={styles.actions}>
                {qualificationOf(member, project.checks) === "failed" && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t.grantNamed(member.username)}
                    loading={busy(member.username)}
                    onClick={() => grant.mutate(member.username)}
                  >
                    {t.grant}
                  </Button>
                )}
                {member.state === "active" ? (
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t.pauseNamed(member.username)}
                    onClick={() => setAsking({ kind: "pause", member })}
                  >
                    {t.pause}
                  </Button>
                ) : (
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t.resumeNamed(member.username)}
                    title={t.resumeHint}
                    loading={busy(member.username)}
                    onClick={() =>
                      change.mutate({ username: member.username, role: member.role, state: "active" })
                    }
                  >
                    {t.resume}
                  </Button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </TableScroll>
      {asking?.kind === "pause" && (
        <PauseDialog
          name={asking.member.username}
          error={change.error}
          busy={change.isPending}
          onPause={(paused_reason) =>
            change.mutate({
              username: asking.member.username,
              role: asking.member.role,
              state: "paused",
              paused_reason,
            })
          }
          onClose={() => setAsking(null)}
        />
      )}
      {asking?.kind === "giveUp" && (
        <GiveUpDialog
          role={asking.role}
          error={change.error}
          busy={change.isPending}
          onConfirm={() => change.mutate({ username: asking.member.username, role: asking.role })}
          onClose={() => setAsking(null)}
        />
      )}
    </Panel>
  );
}

function State({ project, member }: { project: Project; member: Member }) {
  const t = useTexts();
  const qualification = qualificationOf(member, project.checks);
  return (
    <div className={styles.state}>
      {member.state === "active" ? t.active : <Badge tone="warn">{t.paused}</Badge>}
      {qualification === "qualified" && <Badge tone="good">{t.qualified}</Badge>}
      {qualification === "trying" && <Badge tone="neutral">{t.attempt(member.qualification_attempt)}</Badge>}
      {qualification === "failed" && <Badge tone="bad">{t.failed}</Badge>}
      {member.paused_reason && <span className={styles.reason}>{member.paused_reason}</span>}
    </div>
  );
}
