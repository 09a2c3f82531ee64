import { Button, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Import } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { type HubDataset, importDataset } from "../api/imports";
import { useTexts } from "../texts";
import { defaultOptions } from "../upload";
import styles from "./data.module.css";
import { ImportChoices } from "./ImportChoices";

const EMPTY: HubDataset = { dataset: "", part: "", split: "", revision: "" };

/** Imports a dataset from the Hugging Face Hub. */
export function HubForm({
  slug,
  busy,
  onQueued,
}: {
  slug: string;
  busy: boolean;
  onQueued: (row: Import) => void;
}) {
  const { hub: texts } = useTexts();
  const [hub, setHub] = useState(EMPTY);
  const [options, setOptions] = useState(defaultOptions);
  const queue = useMutation({
    mutationFn: (dryRun: boolean) => importDataset(slug, hub, options, dryRun),
    onSuccess: onQueued,
  });
  const field = (name: keyof HubDataset, placeholder: string) => (
    <TextInput
      label={texts[name]}
      placeholder={placeholder}
      value={hub[name]}
      onChange={(event) => setHub({ ...hub, [name]: event.currentTarget.value.trim() })}
    />
  );
  const disabled = busy || queue.isPending || hub.dataset === "";
  return (
    <details className={styles.known} data-testid="import-hub">
      <summary>{texts.title}</summary>
      <div className={ui.stack}>
        <p className={ui.dim}>{texts.hint}</p>
        <div className={styles.fields}>
          {field("dataset", texts.datasetExample)}
          {field("part", texts.all)}
          {field("split", texts.all)}
          {field("revision", texts.main)}
          <ImportChoices options={options} onChange={(more) => setOptions({ ...options, ...more })} />
        </div>
        <div className={ui.actions}>
          <Button variant="default" disabled={disabled} onClick={() => queue.mutate(true)}>
            {texts.check}
          </Button>
          <Button disabled={disabled} onClick={() => queue.mutate(false)}>
            {texts.go}
          </Button>
        </div>
        {queue.isError && <ProblemNotice error={queue.error} />}
      </div>
    </details>
  );
}
