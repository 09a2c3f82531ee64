import type { ImportPreview } from "@/api/types";
import ui from "@/shared/ui/ui.module.css";
import { useTexts } from "../texts";
import styles from "./data.module.css";

type Task = ImportPreview["tasks"][number];

/** The first tasks of a file as plain text: prompt, responses and their ranks. */
export function TaskPreviews({ tasks }: { tasks: readonly Task[] }) {
  const { setup: texts } = useTexts();
  if (tasks.length === 0) return null;
  return (
    <section className={ui.stack} aria-label={texts.first}>
      <div>
        <h3 className={styles.heading}>{texts.first}</h3>
        <p className={ui.dim}>{texts.firstHint}</p>
      </div>
      <ol className={styles.previews} data-testid="import-preview">
        {tasks.map((task, number) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the order of the tasks never changes
          <li key={number} className={styles.preview} aria-label={texts.task(number + 1)}>
            {task.messages.map((message, turn) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: the order of the turns never changes
              <p key={turn} className={styles.turn}>
                <b>{message.role}</b> {message.content}
              </p>
            ))}
            <ul>
              {task.responses.map((response, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: the order of the responses never changes
                <li key={index} className={styles.response}>
                  <span className={styles.rank}>{rankText(task, index, texts)}</span>
                  <span>
                    {response.text}
                    {response.model && <span className={ui.dim}> {response.model}</span>}
                  </span>
                </li>
              ))}
            </ul>
            {task.annotator && <p className={ui.dim}>{texts.by(task.annotator)}</p>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function rankText(
  task: Task,
  index: number,
  texts: { unranked: string; rank: (rank: number) => string },
): string {
  const tier = task.tiers?.findIndex((members) => members.includes(index)) ?? -1;
  return tier < 0 ? texts.unranked : texts.rank(tier + 1);
}
