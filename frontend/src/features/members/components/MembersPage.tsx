import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import { ApiProblem } from "@/api/problem";
import type { Role } from "@/api/types";
import { Badge, EmptyState, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui.module.css";
import { addMember, membersQuery } from "../api/members";
import styles from "./members.module.css";

const ROLES: { value: Role; label: string }[] = [
  { value: "annotator", label: "Annotator: ranks" },
  { value: "reviewer", label: "Reviewer: ranks and reviews" },
  { value: "manager", label: "Manager: also data, members and quality" },
];

export function MembersPage() {
  const { slug } = useParams({ from: "/shell/projects/$slug/members" });
  const queryClient = useQueryClient();
  const members = useQuery(membersQuery(slug));
  const [username, setUsername] = useState("");
  const [role, setRole] = useState<Role>("annotator");
  const add = useMutation({
    mutationFn: () => addMember(slug, username.trim(), role),
    onSuccess: async () => {
      setUsername("");
      await queryClient.invalidateQueries({ queryKey: membersQuery(slug).queryKey });
    },
  });
  const refused = add.error instanceof ApiProblem ? add.error.byField() : {};

  return (
    <Page title="Members" lead="Who may see this project, and as what. To everybody else it does not exist.">
      <Panel title="Add a member">
        <form
          className={styles.form}
          onSubmit={(event: FormEvent) => {
            event.preventDefault();
            if (username.trim()) add.mutate();
          }}
        >
          <TextInput
            label="Username"
            description="The person needs an account on this site."
            value={username}
            error={refused.username ?? false}
            onChange={(event) => setUsername(event.currentTarget.value)}
          />
          <NativeSelect
            label="Role"
            description="Adding somebody again changes the role."
            data={ROLES}
            value={role}
            error={refused.role ?? false}
            onChange={(event) => setRole(event.currentTarget.value as Role)}
          />
          <Button type="submit" loading={add.isPending} disabled={!username.trim()}>
            Add member
          </Button>
        </form>
        {add.isError && Object.keys(refused).length === 0 && <ProblemNotice error={add.error} />}
      </Panel>
      {members.isError && <ProblemNotice error={members.error} />}
      {members.isPending && <Loading label="Loading members" />}
      {members.data?.length === 0 && (
        <EmptyState title="Nobody is in this project">
          <p>Add the people who rank. Two or more for the same tasks lets you see how far they agree.</p>
        </EmptyState>
      )}
      {members.data && members.data.length > 0 && (
        <Panel flush>
          <table className={ui.table}>
            <thead>
              <tr>
                <th>Member</th>
                <th>Role</th>
                <th>State</th>
              </tr>
            </thead>
            <tbody>
              {members.data.map((member) => (
                <tr key={member.username}>
                  <td>{member.username}</td>
                  <td>{member.role}</td>
                  <td>{member.state === "active" ? "active" : <Badge tone="warn">{member.state}</Badge>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Panel>
      )}
    </Page>
  );
}
