import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import type { ExportFormat, Snapshot } from "@/api/types";
import { ago, count, moment, words } from "@/shared/format";
import { CopyLine, Loading, ProblemNotice, Stats } from "@/shared/ui";
import { Coded } from "@/shared/ui/Coded";
import { Icon } from "@/shared/ui/Icon";
import ui from "@/shared/ui/ui.module.css";
import { exportUrl, fileName, formatsQuery, lineageQuery, linesOf } from "../api/data";
import { useTexts } from "../texts";
import styles from "./data.module.css";
import { WeightsNotice } from "./WeightsNotice";

/** The dataset card, preceded by its nonzero counts (except those shown on the snapshot's first line). */
function Card({ snapshot }: { snapshot: Snapshot }) {
  const { snapshots: texts } = useTexts();
  const card = snapshot.card as Record<string, unknown>;
  const counted = Object.entries(texts.facts).flatMap(([name, label]) => {
    const value = card[name];
    return typeof value === "number" && value > 0 && label ? [{ label, value: count(value) }] : [];
  });
  return (
    <section aria-label={texts.card}>
      <WeightsNotice card={card} />
      {counted.length > 0 && <Stats items={counted} />}
      <details className={styles.known}>
        <summary>{texts.wholeCard}</summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
        <pre className={styles.card} tabIndex={0}>
          {JSON.stringify(card, null, 2)}
        </pre>
      </details>
    </section>
  );
}

function Lineage({ slug, snapshot }: { slug: string; snapshot: Snapshot }) {
  const { snapshots: texts } = useTexts();
  const { data: runs, error } = useQuery(lineageQuery(slug, snapshot.name));
  return (
    <section aria-label={texts.lineage}>
      <h3>{texts.lineage}</h3>
      {error && <ProblemNotice error={error} />}
      {runs?.length === 0 && <p className={ui.dim}>{texts.unused}</p>}
      <ul className={styles.lineage}>
        {runs?.map((run) => (
          <li key={run.id}>
            <Link to="/projects/$slug/runs/$runId" params={{ slug, runId: run.id }}>
              {texts.run(words(run.kind), run.state)}
            </Link>{" "}
            <span className={ui.dim} title={moment(run.created_at)}>
              {ago(run.created_at)}
            </span>{" "}
            {run.result.model ? (
              <>
                {texts.made}{" "}
                <Link className={ui.mono} to="/projects/$slug/models" params={{ slug }}>
                  {run.result.model.name}
                </Link>
              </>
            ) : (
              <span className={ui.dim}>{texts.nothingMade}</span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}

function FormatItem({ snapshot, format }: { snapshot: Snapshot; format: ExportFormat }) {
  const { snapshots: texts } = useTexts();
  const refused = (snapshot.refused_exports as Record<string, string>)[format.name];
  const { loads, trains } = linesOf(snapshot, format);
  return (
    <li data-format={format.name}>
      <div className={styles.format}>
        <div>
          <b>{format.title}</b>
          <p className={ui.dim}>
            <Coded text={refused ?? format.use} />
          </p>
          <details className={styles.loses}>
            <summary>{texts.loses}</summary>
            <p>
              <Coded text={format.loses} />
            </p>
          </details>
        </div>
        {refused === undefined && (
          <Button
            component="a"
            href={exportUrl(snapshot, format)}
            download={fileName(snapshot, format)}
            size="xs"
            variant="default"
            leftSection={<Icon name="download" size={14} />}
            aria-label={texts.downloadAs(snapshot.name, format.title)}
          >
            {texts.download}
          </Button>
        )}
      </div>
      {refused === undefined && (
        <div className={styles.lines}>
          {loads && <CopyLine text={loads} label={texts.copyLoads(format.title)} />}
          {trains && <CopyLine text={trains} label={texts.copyTrains(format.title)} />}
        </div>
      )}
    </li>
  );
}

export function SnapshotItem({
  slug,
  snapshot,
  openAtFirst,
}: {
  slug: string;
  snapshot: Snapshot;
  openAtFirst: boolean;
}) {
  const { snapshots: texts } = useTexts();
  const formats = useQuery(formatsQuery);
  // Fetching a snapshot's lineage takes one request, so only expanded cards fetch their lineage.
  const [open, setOpen] = useState(openAtFirst);
  return (
    <details
      className={styles.snapshot}
      open={openAtFirst}
      data-testid="snapshot"
      onToggle={(event) => setOpen(event.currentTarget.open)}
    >
      <summary>
        <Icon name="right" size={14} />
        <span className={styles.snapshotName}>{snapshot.name}</span>
        <span>{texts.holds(snapshot.rows, snapshot.comparisons)}</span>
        <span className={ui.dim} title={moment(snapshot.created_at)}>
          {ago(snapshot.created_at)} {snapshot.created_by && texts.by(snapshot.created_by)}
        </span>
      </summary>
      {open && (
        <div className={`${styles.snapshotBody} ${ui.stack}`}>
          <div>
            <p className={ui.dim}>{texts.hash}</p>
            <CopyLine text={snapshot.sha256} label={texts.copyHash(snapshot.name)} />
          </div>
          {Object.keys(snapshot.selection).length > 0 && (
            <p className={ui.dim}>
              {texts.selected} <span className={ui.mono}>{JSON.stringify(snapshot.selection)}</span>
            </p>
          )}
          <Card snapshot={snapshot} />
          <Lineage slug={slug} snapshot={snapshot} />
          <section aria-label={texts.downloads}>
            <h3>{texts.downloads}</h3>
            {formats.isError && <ProblemNotice error={formats.error} />}
            {formats.isPending && <Loading label={texts.loading} />}
            <ul className={styles.formats}>
              {formats.data?.exports.map((format) => (
                <FormatItem key={format.name} snapshot={snapshot} format={format} />
              ))}
            </ul>
          </section>
        </div>
      )}
    </details>
  );
}
