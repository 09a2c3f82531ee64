import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import type { Project } from "@/api/types";
import { percent } from "@/shared/format";
import { Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { disagreementQuery } from "../api/quality";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

const SHOWN = 8;

export function DisagreementPanel({ project }: { project: Project }) {
  const t = useTexts();
  const { slug, review_below } = project;
  const { data: queue, error } = useQuery(disagreementQuery(slug));
  if (error) return <ProblemNotice error={error} />;
  if (!queue) return null;
  const shown = queue.waiting.slice(0, SHOWN);
  return (
    <Panel
      title={t.disagreement.title}
      flush={shown.length > 0}
      aside={
        queue.n_waiting > 0 && (
          <Button
            size="xs"
            variant="default"
            renderRoot={(props) => <Link {...props} to="/projects/$slug/review" params={{ slug }} />}
          >
            {t.disagreement.review}
          </Button>
        )
      }
    >
      {shown.length === 0 ? (
        <p className={ui.dim}>
          {review_below > 0
            ? `${t.disagreement.none} ${t.thresholds.review(review_below)}`
            : t.disagreement.off}
        </p>
      ) : (
        <>
          <p className={`${ui.dim} ${styles.lead}`}>
            {t.disagreement.waiting(queue.n_waiting)}. {t.disagreement.lead(review_below)}
          </p>
          <TableScroll label={t.disagreement.title}>
            <thead>
              <tr>
                <th>{t.disagreement.prompt}</th>
                <th className={ui.number}>{t.disagreement.agreement}</th>
                <th className={ui.number}>{t.disagreement.rankings}</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((row) => (
                <tr key={row.task}>
                  <td className={styles.excerpt}>{row.excerpt}</td>
                  <td className={ui.number}>{percent(row.agreement)}</td>
                  <td className={ui.number}>{row.rankings}</td>
                </tr>
              ))}
            </tbody>
          </TableScroll>
          {queue.n_waiting > shown.length && (
            <p className={`${ui.dim} ${styles.lead}`}>
              {t.disagreement.more(queue.n_waiting - shown.length)}
            </p>
          )}
        </>
      )}
    </Panel>
  );
}
