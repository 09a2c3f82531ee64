import { Button } from "@mantine/core";
import type { Assignment } from "@/api/types";
import { PaneHead } from "@/ranking/desk/DeskParts";
import styles from "@/ranking/desk/desk.module.css";
import { KeyCap } from "@/ranking/keys/KeyCap";
import { keyHint } from "@/ranking/keys/shortcuts";
import { Conversation } from "@/shared/markdown/Conversation";
import { useDeskTexts } from "../texts/desk";

/** The conversation to which the responses reply. */
export function PromptPane({
  task,
  raw,
  onRaw,
  onGuidelines,
}: {
  task: Assignment["task"];
  raw: boolean;
  onRaw: () => void;
  onGuidelines: () => void;
}) {
  const t = useDeskTexts();
  return (
    <section className={styles.prompt} aria-label={t.conversation}>
      <PaneHead title={t.conversation}>
        <Button
          size="compact-xs"
          variant={raw ? "light" : "subtle"}
          color="gray"
          aria-pressed={raw}
          rightSection={<KeyCap of="raw" />}
          title={t.raw + keyHint("raw")}
          onClick={onRaw}
        >
          {t.raw}
        </Button>
        <Button
          size="compact-xs"
          variant="subtle"
          color="gray"
          rightSection={<KeyCap of="guidelines" />}
          title={t.guidelines + keyHint("guidelines")}
          onClick={onGuidelines}
        >
          {t.guidelines}
        </Button>
      </PaneHead>
      <Conversation messages={task.prompt.messages} raw={raw} />
    </section>
  );
}
