import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type FormEvent, useState } from "react";
import type { AuditEntry } from "@/api/types";
import { moment } from "@/shared/format";
import { EmptyState, Loading, Page, Panel, ProblemNotice } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import { SettingsNav } from "@/shared/ui/SettingsNav";
import { auditQuery } from "../api/audit";
import { actorWords, changesIn, type Filter, NO_FILTER } from "../entry";
import { useTexts } from "../texts";
import styles from "./audit.module.css";

export function AuditPage() {
  const t = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/settings/audit" });
  const [filter, setFilter] = useState<Filter>(NO_FILTER);
  const log = useInfiniteQuery(auditQuery(slug, filter));
  const entries = log.data?.pages.flatMap(({ results }) => results) ?? [];
  return (
    <Page title={t.title} lead={t.lead}>
      <SettingsNav slug={slug} />
      <FilterForm onChange={setFilter} />
      {log.isError && <ProblemNotice error={log.error} />}
      {log.isPending && <Loading label={t.loading} />}
      {log.data && entries.length === 0 && (
        <EmptyState title={t.emptyTitle}>
          <p>{filter === NO_FILTER ? t.emptyText : t.emptyFiltered}</p>
        </EmptyState>
      )}
      {entries.length > 0 && (
        <Panel flush>
          <ol className={styles.entries} aria-label={t.title}>
            {entries.map((entry) => (
              <Entry key={entry.id} entry={entry} />
            ))}
          </ol>
        </Panel>
      )}
      <MoreButton query={log} />
    </Page>
  );
}

function FilterForm({ onChange }: { onChange: (filter: Filter) => void }) {
  const t = useTexts();
  const [draft, setDraft] = useState(NO_FILTER);
  const change = (part: Partial<Filter>) => setDraft((now) => ({ ...now, ...part }));
  return (
    <form
      className={styles.filter}
      onSubmit={(event: FormEvent) => {
        event.preventDefault();
        onChange(draft);
      }}
    >
      <TextInput
        label={t.actor}
        description={t.actorHelp}
        value={draft.actor}
        onChange={(event) => change({ actor: event.currentTarget.value })}
      />
      <NativeSelect
        label={t.action}
        data={[
          { value: "", label: t.anyAction },
          ...Object.entries(t.actions).map(([value, label]) => ({ value, label })),
        ]}
        value={draft.action}
        onChange={(event) => change({ action: event.currentTarget.value })}
      />
      <NativeSelect
        label={t.table}
        data={[
          { value: "", label: t.anyTable },
          ...Object.entries(t.tables).map(([value, label]) => ({ value, label })),
        ]}
        value={draft.table}
        onChange={(event) => change({ table: event.currentTarget.value })}
      />
      <TextInput
        type="date"
        label={t.from}
        value={draft.from}
        onChange={(event) => change({ from: event.currentTarget.value })}
      />
      <TextInput
        type="date"
        label={t.until}
        value={draft.until}
        onChange={(event) => change({ until: event.currentTarget.value })}
      />
      <div className={styles.buttons}>
        <Button type="submit">{t.find}</Button>
        <Button
          variant="default"
          onClick={() => {
            setDraft(NO_FILTER);
            onChange(NO_FILTER);
          }}
        >
          {t.clear}
        </Button>
      </div>
    </form>
  );
}

function Entry({ entry }: { entry: AuditEntry }) {
  const t = useTexts();
  const changes = changesIn(entry);
  return (
    <li className={styles.entry}>
      <time dateTime={entry.at} className={styles.time}>
        {moment(entry.at, { precise: true })}
      </time>
      <div className={styles.what}>
        <p>
          <strong title={entry.actor}>{actorWords(entry, t.kinds)}</strong> {t.actions[entry.action]}{" "}
          {t.tables[entry.table] ?? entry.table}{" "}
          {entry.row_id && (
            <code className={styles.id} title={entry.row_id}>
              {entry.row_id.slice(-8)}
            </code>
          )}
        </p>
        {changes.length > 0 && (
          <details>
            <summary>
              {t.details(changes.length)}: {changes.map(({ field }) => field).join(", ")}
            </summary>
            <dl className={styles.changes}>
              {changes.map(({ field, before, after }) => (
                <div key={field}>
                  <dt>{field}</dt>
                  <dd>
                    {before !== null && (
                      <del>
                        <span className="visually-hidden">{t.before}: </span>
                        {before}
                      </del>
                    )}
                    {after !== null && (
                      <ins>
                        <span className="visually-hidden">{t.after}: </span>
                        {after}
                      </ins>
                    )}
                  </dd>
                </div>
              ))}
            </dl>
          </details>
        )}
      </div>
    </li>
  );
}
