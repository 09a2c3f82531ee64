import { Textarea, TextInput } from "@mantine/core";
import { useDeferredValue } from "react";
import { MAX_GUIDELINES_CHARACTERS } from "@/shared/limits";
import { Markdown } from "@/shared/markdown/Markdown";
import { Panel } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import type { SectionProps } from "./parts";
import styles from "./settings.module.css";

export function GeneralSection({ draft, change, refused }: SectionProps) {
  const t = useTexts();
  const shown = useDeferredValue(draft.guidelines);
  return (
    <Panel title={t.general}>
      <TextInput
        label={t.name}
        maxLength={200}
        value={draft.name}
        error={refused("name") ?? false}
        onChange={(event) => change({ name: event.currentTarget.value })}
      />
      <div className={styles.halves}>
        <Textarea
          label={t.guidelines}
          description={t.guidelinesHelp}
          maxLength={MAX_GUIDELINES_CHARACTERS}
          autosize
          minRows={8}
          maxRows={22}
          value={draft.guidelines}
          error={refused("guidelines") ?? false}
          onChange={(event) => change({ guidelines: event.currentTarget.value })}
        />
        <div className={styles.preview}>
          <h3>{t.preview}</h3>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
          <section className={styles.paper} aria-label={t.preview} tabIndex={0}>
            {shown.trim() ? <Markdown text={shown} /> : <p className={ui.dim}>{t.previewEmpty}</p>}
          </section>
        </div>
      </div>
    </Panel>
  );
}
