import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Exclusion } from "@/api/types";
import { ago, moment } from "@/shared/format";
import { Badge, Loading, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import ui from "@/shared/ui/ui.module.css";
import { effectOfLifting, exclusionsQuery, lift } from "../api/quality";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

const nameOf = (exclusion: Exclusion) => exclusion.username || exclusion.annotator_label;

function LiftDialog({
  slug,
  exclusion,
  onClose,
}: {
  slug: string;
  exclusion: Exclusion;
  onClose: () => void;
}) {
  const t = useTexts();
  const texts = t.liftDialog;
  const queryClient = useQueryClient();
  const preview = useQuery({
    queryKey: ["lift-preview", exclusion.id],
    queryFn: () => effectOfLifting(exclusion.id),
    staleTime: 0,
    gcTime: 0,
  });
  const doIt = useMutation({
    mutationFn: () => lift(exclusion.id),
    onSuccess: async () => {
      onClose();
      await Promise.all(
        [
          ["projects", slug],
          ["reviews", slug],
          ["tasks", slug],
          ["rankings", slug],
        ].map((queryKey) => queryClient.invalidateQueries({ queryKey })),
      );
    },
  });
  const effect = preview.data;
  const changes = effect
    ? [
        ...(effect.rankings > 0 ? [texts.rankings(effect.rankings)] : []),
        ...(effect.comparisons > 0 ? [texts.comparisons(effect.comparisons)] : []),
        ...(effect.reviews > 0 ? [texts.reviews(effect.reviews)] : []),
        ...(effect.tasks_with_more_overlap > 0 ? [texts.grown(effect.tasks_with_more_overlap)] : []),
      ]
    : [];
  return (
    <Dialog
      title={texts.title(nameOf(exclusion))}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.excludeDialog.cancel}
          </Button>
          <Button disabled={!effect} loading={doIt.isPending} onClick={() => doIt.mutate()}>
            {texts.confirm}
          </Button>
        </>
      }
    >
      <div className={ui.stack}>
        {preview.isPending && <Loading label={t.excludeDialog.changes} />}
        {preview.isError && <ProblemNotice error={preview.error} />}
        {effect && (
          <div>
            <h3>{t.excludeDialog.changes}</h3>
            <ul className={styles.rules}>
              {changes.length === 0 && <li>{texts.nothing}</li>}
              {changes.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </div>
        )}
        {doIt.isError && <ProblemNotice error={doIt.error} />}
      </div>
    </Dialog>
  );
}

export function ExclusionsPanel({ slug }: { slug: string }) {
  const t = useTexts();
  const { data: exclusions, error } = useQuery(exclusionsQuery(slug));
  const [lifting, setLifting] = useState<Exclusion | null>(null);
  if (error) return <ProblemNotice error={error} />;
  if (!exclusions) return null;
  return (
    <Panel title={t.exclusions.title} flush={exclusions.length > 0}>
      {exclusions.length === 0 ? (
        <p className={ui.dim}>{t.exclusions.none}</p>
      ) : (
        <TableScroll label={t.exclusions.table}>
          <thead>
            <tr>
              <th>{t.exclusions.who}</th>
              <th>{t.exclusions.why}</th>
              <th>{t.exclusions.since}</th>
              <th>{t.exclusions.by}</th>
              <th>{t.exclusions.state}</th>
            </tr>
          </thead>
          <tbody>
            {exclusions.map((exclusion) => (
              <tr key={exclusion.id}>
                <td>{nameOf(exclusion)}</td>
                <td className={styles.excerpt}>{exclusion.reason}</td>
                <td title={moment(exclusion.created_at)}>{ago(exclusion.created_at)}</td>
                <td>{exclusion.created_by ?? ""}</td>
                <td>
                  {exclusion.lifted_at ? (
                    <span className={ui.dim} title={moment(exclusion.lifted_at)}>
                      {t.exclusions.lifted(exclusion.lifted_by ?? "")}
                    </span>
                  ) : (
                    <span className={styles.actions}>
                      <Badge tone="warn">{t.exclusions.stands}</Badge>
                      <Button
                        size="compact-xs"
                        variant="default"
                        aria-label={t.exclusions.restoreWho(nameOf(exclusion))}
                        onClick={() => setLifting(exclusion)}
                      >
                        {t.exclusions.restore}
                      </Button>
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </TableScroll>
      )}
      {lifting && <LiftDialog slug={slug} exclusion={lifting} onClose={() => setLifting(null)} />}
    </Panel>
  );
}
