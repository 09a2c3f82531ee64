import { Button, Radio, Textarea } from "@mantine/core";
import { useState } from "react";
import type { AnswerForm, SkipWay } from "@/api/types";
import { Dialog } from "@/shared/Dialog";
import { Markdown } from "@/shared/markdown/Markdown";
import { ProblemNotice } from "@/shared/ui";
import { type Mode, type Shortcut, shortcutsFor } from "../shortcuts";
import styles from "./dialogs.module.css";

const GROUPS: readonly Shortcut["group"][] = ["Order", "Focus", "Answer", "View"];

export function ShortcutsDialog({
  mode,
  form,
  onClose,
}: {
  mode: Mode;
  form: AnswerForm;
  onClose: () => void;
}) {
  return (
    <Dialog title="Keys" onClose={onClose} closeKey="?" wide>
      <div className={styles.groups}>
        {GROUPS.map((group) => (
          <section key={group} aria-label={group}>
            <h3>{group}</h3>
            <dl className={styles.keys}>
              {shortcutsFor(mode)
                .filter(({ group: its, asked }) => its === group && (!asked || asked(form)))
                .map((shortcut) => (
                  <div key={shortcut.name}>
                    <dt>{shortcut.label}</dt>
                    <dd>
                      {shortcut.keys.map((chord) => (
                        <span key={chord.join("+")} className={styles.chord}>
                          {chord.map((key) => (key === "…" ? "…" : <kbd key={key}>{key}</kbd>))}
                        </span>
                      ))}
                    </dd>
                  </div>
                ))}
            </dl>
          </section>
        ))}
      </div>
      <p className={styles.note}>
        {mode === "pair" ? "" : "Keys act on the outlined response. "}Tab goes through the questions; in one,
        arrows and digits choose and Delete takes the choice back. In a text field, Ctrl Enter submits and
        every other key types.
      </p>
    </Dialog>
  );
}

export function GuidelinesDialog({ guidelines, onClose }: { guidelines: string; onClose: () => void }) {
  return (
    <Dialog title="Guidelines" onClose={onClose} closeKey="g" wide>
      {guidelines.trim() ? (
        <Markdown text={guidelines} />
      ) : (
        <p>This project has no written guidelines. Rank by which response you would rather have received.</p>
      )}
    </Dialog>
  );
}

export function UntouchedDialog({ onSubmit, onClose }: { onSubmit: () => void; onClose: () => void }) {
  return (
    <Dialog
      title="You have not changed the order"
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose} data-autofocus>
            Keep ranking
          </Button>
          <Button onClick={onSubmit}>Submit this order</Button>
        </>
      }
    >
      <p>You have not changed the order. Submit it as your answer?</p>
      <p className={styles.note}>
        The responses were shown in random order, so this is rarely the order you want.
      </p>
    </Dialog>
  );
}

const REASONS = [
  "I can't judge this topic",
  "The prompt makes no sense",
  "It is in a language I don't read",
  "It is harmful or upsetting",
];

const SKIP_WAYS: Readonly<Record<SkipWay, { label: string; says: string }>> = {
  me: { label: "Show it to me later", says: "You will get it again when nothing else is left for you." },
  others: { label: "Leave it to others", says: "Somebody else will get it; you will not see it again." },
  drop: { label: "Drop it", says: "Nobody will be asked to rank it any more." },
};

export function SkipDialog({
  ways,
  error,
  busy,
  onSkip,
  onClose,
}: {
  /** Where the project lets a skipped task go; the first is what it does by itself. */
  ways: readonly SkipWay[];
  error: unknown;
  busy: boolean;
  onSkip: (reason: string, way: SkipWay) => void;
  onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const [way, setWay] = useState<SkipWay>(ways[0] ?? "others");
  return (
    <Dialog
      title="Skip this task"
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            Keep ranking
          </Button>
          <Button onClick={() => onSkip(reason.trim(), way)} disabled={!reason.trim()} loading={busy}>
            Skip task
          </Button>
        </>
      }
    >
      <p className={styles.note}>{SKIP_WAYS[way].says} Say why, so that unusable prompts can be found.</p>
      {ways.length > 1 && (
        <Radio.Group label="And the task" value={way} onChange={(value) => setWay(value as SkipWay)}>
          {ways.map((one) => (
            <Radio key={one} value={one} label={SKIP_WAYS[one].label} mt={6} />
          ))}
        </Radio.Group>
      )}
      <div className={styles.reasons}>
        {REASONS.map((text) => (
          <Button
            key={text}
            size="xs"
            variant={reason === text ? "filled" : "default"}
            onClick={() => setReason(text)}
          >
            {text}
          </Button>
        ))}
      </div>
      <Textarea
        label="Reason"
        autosize
        minRows={2}
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      {error !== null && <ProblemNotice error={error} />}
    </Dialog>
  );
}
