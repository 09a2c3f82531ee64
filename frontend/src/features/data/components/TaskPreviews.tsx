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
                <b>{message.role}</b> {message.content || <i className={ui.dim}>{texts.empty}</i>}
              </p>
            ))}
            <ul>
              {task.responses.map((response, index) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: the order of the responses never changes
                <li key={index} className={styles.response}>
                  <span className={styles.rank}>{rankText(task, index, texts)}</span>
                  <span>
                    {response.text || <i className={ui.dim}>{texts.empty}</i>}
                    {[response.model, ...valuesOf(response.ratings), ...valuesOf(response.flags)]
                      .filter((text) => text !== "")
                      .map((text) => (
                        <span key={text} className={ui.dim}>
                          {" "}
                          {text}
                        </span>
                      ))}
                  </span>
                </li>
              ))}
            </ul>
            {detailsOf(task, texts).map((text) => (
              <p key={text} className={ui.dim}>
                {text}
              </p>
            ))}
          </li>
        ))}
      </ol>
    </section>
  );
}

type Texts = ReturnType<typeof useTexts>["setup"];

function rankText({ tiers, not_rankable, all_bad }: Task, index: number, texts: Texts): string {
  if (tiers === null) return texts.unranked;
  if (tiers.length === 0) return not_rankable ? texts.notRankable : all_bad ? texts.allBad : texts.noOrder;
  const tier = tiers.findIndex((members) => members.includes(index));
  return tier < 0 ? texts.below : texts.rank(tier + 1);
}

/** What the ranking contains besides the order. */
function detailsOf({ annotator, strength, tiers, all_bad, comment, rewrite }: Task, texts: Texts): string[] {
  return [
    annotator && texts.by(annotator),
    strength !== null && texts.strength(strength),
    all_bad && tiers?.length && texts.allBadDetail,
    comment && texts.comment(comment),
    rewrite && texts.rewrite(rewrite),
  ].filter((text) => typeof text === "string" && text !== "") as string[];
}

/** The ratings or flags of a response as short texts, such as "helpful: 4". */
function valuesOf(values: unknown): string[] {
  const text = (value: unknown) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  if (Array.isArray(values)) return values.map(text);
  if (typeof values !== "object" || values === null) return [text(values)];
  return Object.entries(values).map(([name, value]) => `${name}: ${text(value)}`);
}
