import { Button, Checkbox, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Model } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { archiveModel, demoteModel, promoteModel } from "../api/models";
import { useTexts } from "../texts";
import styles from "./models.module.css";

export type StageChange = "promote" | "demote" | "archive";

/** Explains the effect of a stage change before it is confirmed, and asks for the reason. */
export function StageDialog({
  model,
  change,
  inProduction,
  onClose,
}: {
  model: Model;
  change: StageChange;
  /** The model of the same kind that is in production now. */
  inProduction: Model | undefined;
  onClose: () => void;
}) {
  const texts = useTexts();
  const queryClient = useQueryClient();
  const [reason, setReason] = useState("");
  const [rollBack, setRollBack] = useState(true);
  const make = useMutation({
    mutationFn: () => {
      if (change === "archive") return archiveModel(model.id);
      return change === "promote" ? promoteModel(model.id, reason) : demoteModel(model.id, reason, rollBack);
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["models"] });
      onClose();
    },
  });
  const words = {
    promote: { title: texts.promoteTitle(model.name), yes: texts.promoteYes },
    demote: { title: texts.demoteTitle(model.name), yes: texts.demoteYes },
    archive: { title: texts.archiveTitle(model.name), yes: texts.archiveYes },
  }[change];
  return (
    <Dialog
      title={words.title}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {texts.no}
          </Button>
          <Button
            loading={make.isPending}
            disabled={change === "demote" && !reason.trim()}
            onClick={() => make.mutate()}
          >
            {words.yes}
          </Button>
        </>
      }
    >
      <div className={styles.meaning}>
        {change === "promote" && (
          <>
            <p>{texts.promoteMeans(model.kind.replaceAll("_", " "))}</p>
            {inProduction && <p>{texts.promoteReplaces(inProduction.name)}</p>}
            {model.stage === "archived" && <p>{texts.promoteOut}</p>}
          </>
        )}
        {change === "demote" && (
          <>
            <p>{texts.demoteMeans}</p>
            <Checkbox
              label={texts.rollBack}
              checked={rollBack}
              onChange={(event) => setRollBack(event.currentTarget.checked)}
            />
          </>
        )}
        {change === "archive" ? (
          <>
            <p>{texts.archiveMeans}</p>
            <p>{texts.archiveBack}</p>
          </>
        ) : (
          <Textarea
            label={texts.reason}
            description={change === "promote" ? texts.promoteReason : texts.demoteReason}
            autosize
            value={reason}
            onChange={(event) => setReason(event.currentTarget.value)}
          />
        )}
        {make.isError && <ProblemNotice error={make.error} />}
      </div>
    </Dialog>
  );
}
