import { Button, Radio } from "@mantine/core";
import { useState } from "react";
import type { SkipWay } from "@/api/types";
import { TextArea } from "@/shared/fields/TextArea";
import { ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { useDeskTexts } from "../texts/desk";
import styles from "./dialogs.module.css";

const REASONS = ["topic", "nonsense", "language", "upsetting"] as const;

export function SkipDialog({
  ways,
  error,
  busy,
  onSkip,
  onClose,
}: {
  /** The project's options for a skipped task; the first option is the default. */
  ways: readonly SkipWay[];
  error: unknown;
  busy: boolean;
  onSkip: (reason: string, way: SkipWay) => void;
  onClose: () => void;
}) {
  const t = useDeskTexts();
  const [reason, setReason] = useState("");
  const [way, setWay] = useState<SkipWay>(ways[0] ?? "others");
  return (
    <Dialog
      title={t.skipTitle}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.keepRanking}
          </Button>
          <Button onClick={() => onSkip(reason.trim(), way)} disabled={!reason.trim()} loading={busy}>
            {t.skipTask}
          </Button>
        </>
      }
    >
      <p className={styles.note}>{t.skipSayWhy}</p>
      <div className={styles.reasons}>
        {REASONS.map((one, index) => {
          const text = t.skipReasons[one];
          return (
            <Button
              key={one}
              size="xs"
              variant={reason === text ? "filled" : "default"}
              aria-pressed={reason === text}
              onClick={() => setReason(text)}
              {...(index === 0 && { "data-autofocus": true })}
            >
              {text}
            </Button>
          );
        })}
      </div>
      <TextArea
        label={t.skipReason}
        minRows={2}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {ways.length > 1 && (
        <Radio.Group label={t.skipAnd} mt={12} value={way} onChange={(value) => setWay(value as SkipWay)}>
          {ways.map((one) => (
            <Radio key={one} value={one} label={t.skipWays[one].label} mt={6} />
          ))}
        </Radio.Group>
      )}
      <p className={styles.note}>{t.skipWays[way].says}</p>
      {error !== null && <ProblemNotice error={error} />}
    </Dialog>
  );
}
