import type { ReactNode } from "react";
import styles from "@/ranking/desk/desk.module.css";
import { KeyCap } from "@/ranking/keys/KeyCap";
import { keyHint } from "@/ranking/keys/shortcuts";
import { Icon } from "@/shared/ui/Icon";
import flow from "../components/flow.module.css";
import { useDeskTexts } from "../texts/desk";
import { useFlowTexts } from "../texts/flow";

/** The area below the submit button, with the draft's state and the actions other than answering. */
export function DeskFoot({
  onTakeBack,
  onPause,
  onReport,
  onHelp,
  children,
}: {
  onTakeBack: () => void;
  onPause: () => void;
  onReport: () => void;
  onHelp: () => void;
  children: ReactNode;
}) {
  const t = useFlowTexts();
  const texts = useDeskTexts();
  return (
    <div>
      <div className={styles.foot}>
        {children}
        <button type="button" className={styles.keysButton} onClick={onHelp}>
          <Icon name="keys" size={15} /> {texts.keys} <KeyCap of="help" />
        </button>
      </div>
      <div className={flow.tools}>
        <button type="button" title={t.takeBackLabel + keyHint("takeBack")} onClick={onTakeBack}>
          <Icon name="undo" size={14} /> {t.takeBack} <KeyCap of="takeBack" />
        </button>
        <button type="button" title={t.reportLabel + keyHint("report")} onClick={onReport}>
          <Icon name="flag" size={14} /> {t.report} <KeyCap of="report" />
        </button>
        <button type="button" title={t.pauseLabel + keyHint("pause")} onClick={onPause}>
          <Icon name="pause" size={14} /> {t.pause} <KeyCap of="pause" />
        </button>
      </div>
    </div>
  );
}
