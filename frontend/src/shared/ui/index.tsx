import { ActionIcon, Loader } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { type ReactNode, useEffect } from "react";
import { asProblem } from "@/api/problem";
import { usePartTexts } from "../texts/parts";
import { Icon, type IconName } from "./Icon";
import styles from "./ui.module.css";

export type Tone = "good" | "warn" | "bad" | "info" | "neutral";

export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: string;
  lead?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useDocumentTitle(title);
  return (
    <main className={styles.page} id="main">
      <header className={styles.header}>
        <div className={styles.headerText}>
          <h1>{title}</h1>
          {lead && <p className={styles.lead}>{lead}</p>}
        </div>
        {actions && <div className={styles.actions}>{actions}</div>}
      </header>
      <div className={styles.stack}>{children}</div>
    </main>
  );
}

export function useDocumentTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Rankloop`;
  }, [title]);
}

export function Panel({
  title,
  aside,
  flush = false,
  children,
}: {
  title?: string;
  aside?: ReactNode;
  /** Whether the content (a table or a list) has its own padding. */
  flush?: boolean;
  children: ReactNode;
}) {
  return (
    <section className={styles.panel} aria-label={title}>
      {title && (
        <div className={styles.panelHead}>
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      {flush ? children : <div className={styles.panelBody}>{children}</div>}
    </section>
  );
}

export function EmptyState({
  title,
  children,
  actions,
}: {
  title: string;
  children: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <div className={styles.empty}>
      <h2>{title}</h2>
      {children}
      {actions && <div className={styles.emptyActions}>{actions}</div>}
    </div>
  );
}

const NOTICE_ICON: Record<Exclude<Tone, "neutral">, IconName> = {
  good: "check",
  warn: "warn",
  bad: "warn",
  info: "flag",
};

export function Notice({
  tone,
  title,
  children,
  actions,
}: {
  tone: Exclude<Tone, "neutral">;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <div
      className={`${styles.notice} ${styles[tone]}`}
      role={tone === "bad" || tone === "warn" ? "alert" : "status"}
    >
      <Icon name={NOTICE_ICON[tone]} />
      <div className={styles.noticeBody}>
        <strong>{title}</strong>
        {children}
        {actions && <div className={styles.noticeActions}>{actions}</div>}
      </div>
    </div>
  );
}

/** A notice about a failed request, with the API's message and the errors in each field. */
export function ProblemNotice({ error, actions }: { error: unknown; actions?: ReactNode }) {
  const problem = asProblem(error);
  // A message that only repeats the field errors is omitted, because the list of errors is more readable.
  const listed =
    problem.errors.length > 0 && problem.errors.every(({ reason }) => problem.detail.includes(reason));
  return (
    <Notice tone="bad" title={problem.title} actions={actions}>
      {problem.detail && !listed && <p>{problem.detail}</p>}
      {problem.errors.length > 0 && (
        <ul>
          {problem.errors.map(({ field, reason }) => (
            <li key={`${field} ${reason}`}>
              {field && <code>{field}</code>} {reason}
            </li>
          ))}
        </ul>
      )}
    </Notice>
  );
}

export function Loading({ label }: { label: string }) {
  return (
    <output className={styles.loading}>
      <Loader size="sm" aria-hidden />
      <span className="visually-hidden">{label}</span>
    </output>
  );
}

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }) {
  return <span className={`${styles.badge} ${styles[tone]}`}>{children}</span>;
}

export function Stats({ items }: { items: { label: string; value: ReactNode }[] }) {
  return (
    <dl className={styles.stats} style={{ margin: 0 }}>
      {items.map(({ label, value }) => (
        <div
          className={styles.stat}
          key={label}
          style={{ display: "flex", flexDirection: "column-reverse", justifyContent: "flex-end" }}
        >
          <dt className={styles.statLabel}>{label}</dt>
          <dd className={styles.statValue} style={{ margin: 0 }}>
            {value}
          </dd>
        </div>
      ))}
    </dl>
  );
}

export function Bar({ share, label }: { share: number; label: string }) {
  const percent = Math.round(Math.max(0, Math.min(1, share)) * 100);
  return (
    <div
      className={styles.bar}
      role="progressbar"
      aria-label={label}
      aria-valuenow={percent}
      aria-valuemin={0}
      aria-valuemax={100}
    >
      <div style={{ width: `${percent}%` }} />
    </div>
  );
}

/** A table that can be wider than the screen. It can be focused, and thus be scrolled by keyboard. */
export function TableScroll({ label, children }: { label: string; children: ReactNode }) {
  return (
    <section
      className={styles.tableWrap}
      aria-label={label}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls, and must be reachable by keyboard
      tabIndex={0}
    >
      <table className={styles.table}>{children}</table>
    </section>
  );
}

export function CopyLine({ text, label }: { text: string; label: string }) {
  const texts = usePartTexts();
  const clipboard = useClipboard({ timeout: 1_500 });
  return (
    <div className={styles.copy}>
      <code>{text}</code>
      <ActionIcon
        variant="subtle"
        aria-label={clipboard.copied ? texts.copied : label}
        onClick={() => clipboard.copy(text)}
        size="sm"
      >
        <Icon name={clipboard.copied ? "check" : "copy"} size={14} />
      </ActionIcon>
    </div>
  );
}
