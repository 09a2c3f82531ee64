import { Button, Textarea } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Loading, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import ui from "@/shared/ui/ui.module.css";
import { effectOfExcluding, exclude, type Who } from "../api/quality";
import { useTexts } from "../texts";
import styles from "./quality.module.css";

/** Shows the effect of an exclusion before the user confirms the exclusion. */
export function ExcludeDialog({ slug, name, onClose }: { slug: string; name: string; onClose: () => void }) {
  const t = useTexts();
  const texts = t.excludeDialog;
  const queryClient = useQueryClient();
  const [reason, setReason] = useState("");
  const preview = useQuery({
    queryKey: ["exclusion-preview", slug, name],
    queryFn: () => effectOfExcluding(slug, name),
    staleTime: 0,
    gcTime: 0,
  });
  const doIt = useMutation({
    mutationFn: (who: Who) => exclude(slug, who, reason.trim()),
    onSuccess: async () => {
      onClose();
      // An exclusion changes all of the project's statistics.
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
  const effect = preview.data?.effect;
  const changes = effect
    ? [
        [effect.rankings, texts.rankings],
        [effect.comparisons, texts.comparisons],
        [effect.reviews, texts.reviews],
        [effect.tasks_reopening, texts.reopening],
        [effect.leases, texts.leases],
        [effect.snapshots, texts.snapshots],
      ].flatMap(([n, say]) => (typeof n === "number" && n > 0 && typeof say === "function" ? [say(n)] : []))
    : [];
  return (
    <Dialog
      title={texts.title(name)}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {texts.cancel}
          </Button>
          <Button
            color="red"
            disabled={!preview.data || reason.trim() === ""}
            loading={doIt.isPending}
            onClick={() => preview.data && doIt.mutate(preview.data.who)}
          >
            {texts.confirm}
          </Button>
        </>
      }
    >
      <div className={ui.stack}>
        {preview.isPending && <Loading label={texts.changes} />}
        {preview.isError && <ProblemNotice error={preview.error} />}
        {effect && (
          <div>
            <h3>{texts.changes}</h3>
            <ul className={styles.rules}>
              {changes.length === 0 && <li>{texts.nothing}</li>}
              {changes.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
            <p className={ui.dim}>{texts.paused}</p>
          </div>
        )}
        <Textarea
          label={texts.reason}
          description={texts.reasonHint}
          required
          autosize
          minRows={2}
          value={reason}
          onChange={(event) => setReason(event.currentTarget.value)}
        />
        {doIt.isError && <ProblemNotice error={doIt.error} />}
      </div>
    </Dialog>
  );
}
