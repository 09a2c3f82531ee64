import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { Import } from "@/api/types";
import { duration } from "@/shared/format";
import { Bar, ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { cancelImport, importQuery } from "../api/imports";
import { useTexts } from "../texts";
import styles from "./data.module.css";

/** Shows the elapsed seconds of an operation, so that users can see that it is still running. */
function Seconds({ since }: { since: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return <>{duration(Math.max(0, now - since) / 1000)}</>;
}

/** The progress of an upload. `says` names the operation and the file. */
export function Sending({ says, share, onStop }: { says: string; share: number; onStop: () => void }) {
  const { import: texts } = useTexts();
  const [since] = useState(Date.now);
  return (
    <div className={styles.running} data-testid="import-running">
      <p role="status">{says}</p>
      <Bar share={share} label={says} />
      <p className={ui.dim}>
        <Seconds since={since} />. {texts.keepOpen}
      </p>
      <Button size="compact-xs" variant="default" onClick={onStop}>
        {texts.stop}
      </Button>
    </div>
  );
}

/** The progress of a queued or running import. */
export function Running({ row }: { row: Import }) {
  const { import: texts } = useTexts();
  const queryClient = useQueryClient();
  const cancel = useMutation({
    mutationFn: () => cancelImport(row.id),
    onSuccess: (changed) => queryClient.setQueryData(importQuery(row.id).queryKey, changed),
  });
  const says =
    row.state === "queued"
      ? texts.queued(row.file_name)
      : row.hub && row.size === 0
        ? texts.downloading(row.file_name)
        : row.dry_run
          ? texts.reading(row.file_name)
          : texts.importing(row.file_name);
  return (
    <div className={styles.running} data-testid="import-running">
      <p role="status">{says}</p>
      <Bar share={row.progress.share} label={says} />
      <p className={ui.dim}>
        {texts.rows(row.progress.read)}, <Seconds since={Date.parse(row.started_at ?? row.created_at)} />.{" "}
        {texts.leave}
      </p>
      {row.phase && <p className={ui.dim}>{texts.phase(row.phase)}</p>}
      <Button
        size="compact-xs"
        variant="default"
        disabled={cancel.isPending || row.cancel_requested}
        onClick={() => cancel.mutate()}
      >
        {row.cancel_requested ? texts.stopping : texts.stop}
      </Button>
      {cancel.isError && <ProblemNotice error={cancel.error} />}
    </div>
  );
}
