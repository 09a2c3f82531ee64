import { Button, NativeSelect } from "@mantine/core";
import { useInfiniteQuery, useSuspenseQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";
import type { Check, CheckKind, Project } from "@/api/types";
import { count, percent } from "@/shared/format";
import { projectQuery } from "@/shared/session";
import { Badge, EmptyState, Loading, Page, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import { SettingsNav } from "@/shared/ui/SettingsNav";
import ui from "@/shared/ui/ui.module.css";
import { checksQuery } from "../api/checks";
import { useTexts } from "../texts";
import styles from "./checks.module.css";
import { MakeCheckDialog } from "./MakeCheckDialog";

const KINDS: readonly CheckKind[] = ["gold", "attention", "qualification"];
const EXCERPT_CHARS = 160;

/**
 * If a check has at least `ENOUGH_ANSWERS` answers and their mean score is below `DOUBTFUL_SCORE`, its known
 * answer is probably wrong.
 */
const DOUBTFUL_SCORE = 0.5;
const ENOUGH_ANSWERS = 5;

const excerptOf = (check: Check) =>
  (check.prompt.messages.at(-1)?.content ?? "").slice(0, EXCERPT_CHARS).replaceAll(/\s+/g, " ");

export function ChecksPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/settings/checks" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const [kind, setKind] = useState<CheckKind | null>(null);
  const [editing, setEditing] = useState<string | null>(null);
  const checks = useInfiniteQuery(checksQuery(slug, kind));
  const rows = checks.data?.pages.flatMap(({ results }) => results) ?? [];
  return (
    <Page
      title={t.title}
      lead={t.lead}
      actions={
        <Button
          variant="default"
          renderRoot={(props) => <Link {...props} to="/projects/$slug/settings" params={{ slug }} />}
        >
          {t.rates}
        </Button>
      }
    >
      <SettingsNav slug={slug} />
      {checks.isError && <ProblemNotice error={checks.error} />}
      {checks.isPending && <Loading label={t.loading} />}
      {checks.data && rows.length === 0 && kind === null && (
        <EmptyState
          title={t.emptyTitle}
          actions={
            <Button renderRoot={(props) => <Link {...props} to="/projects/$slug/tasks" params={{ slug }} />}>
              {t.emptyAction}
            </Button>
          }
        >
          <p>{t.emptyText}</p>
          <p>{t.emptyRates}</p>
        </EmptyState>
      )}
      {(rows.length > 0 || kind !== null) && (
        <>
          <div className={styles.filter}>
            <NativeSelect
              label={t.kindFilter}
              data={[
                { value: "", label: t.all },
                ...KINDS.map((value) => ({ value, label: t.kinds[value].title })),
              ]}
              value={kind ?? ""}
              onChange={(event) => setKind((event.currentTarget.value || null) as CheckKind | null)}
            />
          </div>
          {rows.length === 0 && !checks.isPending ? (
            <p className={ui.dim}>{t.emptyKind}</p>
          ) : (
            <ChecksTable project={project} rows={rows} onEdit={setEditing} />
          )}
          <MoreButton query={checks} />
        </>
      )}
      {editing && <MakeCheckDialog project={project} taskId={editing} onClose={() => setEditing(null)} />}
    </Page>
  );
}

function ChecksTable({
  project,
  rows,
  onEdit,
}: {
  project: Project;
  rows: readonly Check[];
  onEdit: (id: string) => void;
}) {
  const t = useTexts();
  const asked: Record<CheckKind, string> = {
    gold: project.checks?.gold_rate ? t.given(project.checks.gold_rate) : t.notGiven,
    attention: project.checks?.attention_rate ? t.given(project.checks.attention_rate) : t.notGiven,
    qualification: project.checks?.qualification_pass_mark == null ? t.noPassMark : "",
  };
  return (
    <Panel flush>
      <TableScroll label={t.title}>
        <thead>
          <tr>
            <th>{t.prompt}</th>
            <th>{t.kind}</th>
            <th className={ui.number}>{t.answered}</th>
            <th className={ui.number}>{t.score}</th>
            <th>
              <span className="visually-hidden">{t.change}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((check) => {
            const excerpt = excerptOf(check);
            const doubtful =
              check.mean_score !== null &&
              check.mean_score < DOUBTFUL_SCORE &&
              check.n_scored >= ENOUGH_ANSWERS;
            return (
              <tr key={check.id}>
                <td>
                  <Link
                    className={styles.excerpt}
                    to="/projects/$slug/tasks/$taskId"
                    params={{ slug: project.slug, taskId: check.id }}
                  >
                    {excerpt}
                  </Link>
                </td>
                <td>
                  {t.kinds[check.kind].title}{" "}
                  <span className={styles.dim}>{asked[check.kind as CheckKind]}</span>{" "}
                  {check.state === "dropped" && <Badge tone="neutral">{t.dropped}</Badge>}
                </td>
                <td className={ui.number}>{count(check.n_scored)}</td>
                <td className={ui.number}>
                  {check.mean_score === null ? t.notYet : percent(check.mean_score)}{" "}
                  {doubtful && (
                    <span title={t.hardTitle}>
                      <Badge tone="warn">{t.hard}</Badge>
                    </span>
                  )}
                </td>
                <td className={ui.number}>
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t.changeNamed(excerpt)}
                    onClick={() => onEdit(check.id)}
                  >
                    {t.change}
                  </Button>
                </td>
              </tr>
            );
          })}
        </tbody>
      </TableScroll>
    </Panel>
  );
}
