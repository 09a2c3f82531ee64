import type { Convergence } from "@/api/types";
import { Notice } from "@/shared/ui";
import { useTexts } from "../texts";

/** A warning if the strengths did not converge. */
export function Unfinished({ convergence }: { convergence: Convergence }) {
  const { unfinished: texts } = useTexts();
  if (convergence.converged) return null;
  return (
    <Notice tone="warn" title={texts.title}>
      <p>{texts.meaning(convergence.steps)}</p>
    </Notice>
  );
}
