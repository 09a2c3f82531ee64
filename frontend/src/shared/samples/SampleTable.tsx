import { Conversation } from "@/shared/markdown/Conversation";
import { Markdown } from "@/shared/markdown/Markdown";
import ui from "@/shared/ui/ui.module.css";
import styles from "./samples.module.css";

export type Answer = { key: string; title: string; text: string; score: string };
export type Row = {
  key: string;
  prompt: readonly { role: string; content: string }[];
  answers: (Answer | undefined)[];
};

/**
 * Prompts with their answers side by side. Model output is untrusted, so it is rendered only by the Markdown
 * component.
 */
export function SampleTable({ rows }: { rows: readonly Row[] }) {
  return (
    <ol className={styles.samples}>
      {rows.map((row) => (
        <li key={row.key}>
          <div className={styles.prompt}>
            <Conversation messages={row.prompt} />
          </div>
          <div className={styles.answers}>
            {row.answers.map(
              (answer) =>
                answer && (
                  <div key={answer.key}>
                    <h3>{answer.title}</h3>
                    <Markdown text={answer.text} />
                    {answer.score && <p className={`${ui.dim} ${styles.score}`}>{answer.score}</p>}
                  </div>
                ),
            )}
          </div>
        </li>
      ))}
    </ol>
  );
}
