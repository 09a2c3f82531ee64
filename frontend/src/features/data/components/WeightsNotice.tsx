import type { Convergence } from "@/api/types";
import { Notice } from "@/shared/ui";
import { useTexts } from "../texts";

/** Warns that a snapshot's weights were computed from an estimate that did not converge. */
export function WeightsNotice({ card }: { card: Record<string, unknown> }) {
  const { snapshots: texts } = useTexts();
  // The cards of snapshots frozen by older versions contain no statement about convergence.
  const weights = card.weights as { convergence?: Convergence | null } | undefined;
  if (weights?.convergence?.converged !== false) return null;
  return (
    <Notice tone="warn" title={texts.unfinished}>
      <p>{texts.unfinishedMeaning(weights.convergence.steps)}</p>
    </Notice>
  );
}
