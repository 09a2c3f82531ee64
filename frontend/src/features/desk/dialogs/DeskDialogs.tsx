import { useMutation } from "@tanstack/react-query";
import { Suspense } from "react";
import type { Project, SkipWay } from "@/api/types";
import type { DeskModel } from "@/ranking/desk/useDesk";
import { skipTask } from "../api/assignments";
import {
  GuidelinesDialog,
  ReportDialog,
  RewriteDialog,
  ShortcutsDialog,
  SkipDialog,
} from "../components/later";
import { UntouchedDialog } from "./UntouchedDialog";

export type DialogName = "help" | "guidelines" | "untouched" | "skip" | "report" | "rewrite";

type Props = {
  open: DialogName | null;
  desk: DeskModel;
  project: Project;
  onSubmit: () => void;
  onSkipped: () => void;
  onReported: () => void;
  onClose: () => void;
};

/** The desk's dialogs, of which at most one is open. */
export function DeskDialogs({ open, desk, project, onSubmit, onSkipped, onReported, onClose }: Props) {
  const { assignment, state, dispatch, mode, view, letters, top } = desk;
  const { form, responses } = assignment;
  const skip = useMutation({
    mutationFn: ({ reason, way }: { reason: string; way: SkipWay }) =>
      skipTask(assignment.id, assignment.token, reason, way),
    onSuccess: onSkipped,
  });
  return (
    <Suspense fallback={null}>
      {open === "help" && <ShortcutsDialog mode={mode} form={form} view={view} onClose={onClose} />}
      {open === "guidelines" && <GuidelinesDialog guidelines={project.guidelines} onClose={onClose} />}
      {open === "untouched" && <UntouchedDialog onSubmit={onSubmit} onClose={onClose} />}
      {open === "skip" && (
        <SkipDialog
          error={skip.error}
          busy={skip.isPending}
          ways={project.skip_ways}
          onSkip={(reason, way) => skip.mutate({ reason, way })}
          onClose={onClose}
        />
      )}
      {open === "rewrite" && form.rewrite && (
        <RewriteDialog
          title={form.rewrite.label}
          responses={responses}
          letters={letters}
          best={top?.[0] ?? state.shownOrder[0] ?? ""}
          rewrite={state.fields.rewrite}
          onChange={(rewrite) => dispatch({ type: "fields", change: { rewrite } })}
          onClose={onClose}
        />
      )}
      {open === "report" && (
        <ReportDialog assignmentId={assignment.id} onSent={onReported} onClose={onClose} />
      )}
    </Suspense>
  );
}
