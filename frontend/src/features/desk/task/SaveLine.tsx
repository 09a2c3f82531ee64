import type { SaveStatus } from "../draft/draftSaver";
import type { Hand } from "../flow/flow";
import { useFlowTexts } from "../texts/flow";

/** A line that shows whether the draft is saved, or the outcome of the previous task. */
export function SaveLine({
  status,
  how,
  touched,
  lastDone,
  reported,
}: {
  status: SaveStatus;
  how: Hand["how"];
  touched: boolean;
  lastDone: string;
  reported: boolean;
}) {
  const t = useFlowTexts();
  const words = () => {
    if (how === "revise") return t.changeKept;
    switch (status.state) {
      case "unsaved":
      case "saving":
        return t.draftSaving;
      case "waiting":
        return t.draftWaiting;
      case "refused":
        return t.draftRefused;
      case "saved":
        return touched ? t.draftSaved : lastDone;
    }
  };
  return <output>{[reported && t.reported, words()].filter(Boolean).join(" · ")}</output>;
}
