import { Button } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { ImportSummary } from "@/api/types";
import { bytes, count, moment } from "@/shared/format";
import { isFinal, jobTone } from "@/shared/jobs";
import { Badge, Loading, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { MoreButton } from "@/shared/ui/MoreButton";
import ui from "@/shared/ui/ui.module.css";
import { importQuery, importsQuery } from "../api/imports";
import { useTexts } from "../texts";
import styles from "./data.module.css";
import { Outcome } from "./Outcome";
import { Running } from "./Running";

/** The project's imports, newest first. A dry run is labelled as a check of the file. */
export function ImportHistory({ slug }: { slug: string }) {
  const { history: texts } = useTexts();
  const imports = useInfiniteQuery(importsQuery(slug));
  const [open, setOpen] = useState<string | null>(null);
  const rows = imports.data ?? [];
  if (rows.length === 0) return null;
  return (
    <Panel title={texts.title} flush>
      <div data-testid="import-history">
        <TableScroll label={texts.title}>
          <thead>
            <tr>
              <th>{texts.file}</th>
              <th>{texts.state}</th>
              <th className={ui.number}>{texts.rows}</th>
              <th className={ui.number}>{texts.rejected}</th>
              <th>{texts.when}</th>
              <th>{texts.by}</th>
              <th>
                <span className="visually-hidden">{texts.report}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Row
                key={row.id}
                slug={slug}
                row={row}
                open={row.id === open}
                onToggle={() => setOpen(row.id === open ? null : row.id)}
              />
            ))}
          </tbody>
        </TableScroll>
      </div>
      <MoreButton query={imports} />
    </Panel>
  );
}

function Row({
  slug,
  row,
  open,
  onToggle,
}: {
  slug: string;
  row: ImportSummary;
  open: boolean;
  onToggle: () => void;
}) {
  const { history: texts } = useTexts();
  return (
    <>
      <tr>
        <td className={styles.file}>
          {row.file_name} <span className={ui.dim}>{bytes(row.size)}</span>
        </td>
        <td className={styles.cell}>
          <Badge tone={jobTone[row.state]}>{texts.states[row.state]}</Badge>{" "}
          {row.dry_run && <span className={ui.dim}>{texts.check}</span>}
        </td>
        <td className={ui.number}>{count(row.progress.read)}</td>
        <td className={ui.number}>{count(row.progress.failed)}</td>
        <td className={styles.cell}>{moment(row.created_at)}</td>
        <td>{row.created_by ?? "–"}</td>
        <td>
          <Button
            size="compact-xs"
            variant="default"
            aria-expanded={open}
            aria-label={`${texts.report}: ${row.file_name}`}
            onClick={onToggle}
          >
            {texts.report}
          </Button>
        </td>
      </tr>
      {open && (
        <tr>
          <td colSpan={7}>
            <Details slug={slug} id={row.id} />
          </td>
        </tr>
      )}
    </>
  );
}

function Details({ slug, id }: { slug: string; id: string }) {
  const { history: texts } = useTexts();
  const { data, error } = useQuery(importQuery(id));
  if (error) return <ProblemNotice error={error} />;
  if (!data) return <Loading label={texts.loading} />;
  return (
    <div className={ui.stack}>
      {isFinal(data.state) ? <Outcome slug={slug} row={data} /> : <Running row={data} />}
    </div>
  );
}
