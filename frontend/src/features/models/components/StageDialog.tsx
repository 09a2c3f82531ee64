import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { Model } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { archiveModel, promoteModel } from "../api/models";
import { useTexts } from "../texts";
import styles from "./models.module.css";

export type StageChange = "promote" | "archive";

/** Explains the effect of a stage change before it is confirmed. */
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
  const make = useMutation({
    mutationFn: () => (change === "promote" ? promoteModel(model.id) : archiveModel(model.id)),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["models"] });
      onClose();
    },
  });
  const promotes = change === "promote";
  return (
    <Dialog
      title={promotes ? texts.promoteTitle(model.name) : texts.archiveTitle(model.name)}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {texts.no}
          </Button>
          <Button loading={make.isPending} onClick={() => make.mutate()}>
            {promotes ? texts.promoteYes : texts.archiveYes}
          </Button>
        </>
      }
    >
      <div className={styles.meaning}>
        <p>{promotes ? texts.promoteMeans(model.kind.replaceAll("_", " ")) : texts.archiveMeans}</p>
        {promotes && inProduction && <p>{texts.promoteReplaces(inProduction.name)}</p>}
        {promotes && model.stage === "archived" && <p>{texts.promoteOut}</p>}
        {!promotes && <p>{texts.archiveBack}</p>}
        {make.isError && <ProblemNotice error={make.error} />}
      </div>
    </Dialog>
  );
}
