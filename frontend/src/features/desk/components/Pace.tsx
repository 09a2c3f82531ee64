import { useQuery } from "@tanstack/react-query";
import { duration } from "@/shared/format";
import { figuresQuery } from "../api/assignments";
import { useFlowTexts } from "../texts/flow";
import styles from "./flow.module.css";

/** The current annotator's ranking count and speed. The desk never shows these figures to other users. */
export function Pace({ slug }: { slug: string }) {
  const t = useFlowTexts();
  const { data } = useQuery(figuresQuery(slug));
  if (!data) return null;
  const { answered, answered_today, median_seconds, left_today } = data;
  const parts = [
    t.today(answered_today),
    answered > answered_today && t.inAll(answered),
    median_seconds !== null && answered > 0 && t.perTask(duration(median_seconds)),
    left_today !== null && t.leftToday(left_today),
  ].filter((part) => part !== false);
  return (
    <ul className={styles.pace} aria-label={t.paceLabel}>
      {parts.map((part) => (
        <li key={part}>{part}</li>
      ))}
    </ul>
  );
}

/** Marks a qualification task as practice, and shows the number of remaining qualification tasks. */
export function PracticeBar({ slug }: { slug: string }) {
  const t = useFlowTexts();
  const qualification = useQuery(figuresQuery(slug)).data?.qualification;
  return (
    <div className={styles.practice} role="note">
      <strong>{t.practice}</strong>
      {qualification && (
        <span>
          {t.practiceLeft(qualification.left, qualification.tasks)}
          {qualification.attempts > 1 &&
            ` · ${t.practiceAttempt(qualification.attempt, qualification.attempts)}`}
        </span>
      )}
      <span className={styles.dim}>{t.practiceNote}</span>
    </div>
  );
}
