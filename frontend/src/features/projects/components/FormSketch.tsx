import type { AnswerForm } from "@/api/types";
import styles from "./preset.module.css";

const MOST_LINES = 4;
const MOST_MARKS = 3;

/** A small sketch of the desk for a form. The form's questions are listed next to the sketch. */
export function FormSketch({ form }: { form: AnswerForm }) {
  const pair = form.responses.max === 2 && !form.top_k;
  const marks = Math.min(form.ratings.length + (form.flags.length > 0 ? 1 : 0), MOST_MARKS);
  const under = (
    <span className={styles.marks}>
      {Array.from({ length: marks }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: all marks are identical
        <i key={index} />
      ))}
    </span>
  );
  return (
    <span className={styles.sketch} aria-hidden="true">
      {pair ? <Pair form={form} under={under} /> : <Order form={form} under={under} />}
      {(form.questions.length > 0 || form.confidence) && <span className={styles.question} />}
      {form.comment && <span className={styles.field} />}
    </span>
  );
}

type Part = { form: AnswerForm; under: React.ReactNode };

function Pair({ form, under }: Part) {
  const grades = form.strength?.levels.length ?? 1;
  const sides = [...Array(grades).fill("a"), ...(form.ties ? ["tie"] : []), ...Array(grades).fill("b")];
  if (form.all_bad && form.all_bad.order !== "asked") sides.push("bad");
  return (
    <>
      <span className={styles.pair}>
        <span className={styles.card}>A{under}</span>
        <span className={styles.card}>B{under}</span>
      </span>
      <span className={styles.scale}>
        {sides.map((side, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: a fixed row
          <i key={index} data-side={side} />
        ))}
      </span>
    </>
  );
}

function Order({ form, under }: Part) {
  const lines = Math.min(form.responses.max, MOST_LINES);
  const ranked = form.top_k?.at_most ?? lines;
  return (
    <span className={styles.order}>
      {Array.from({ length: lines }, (_, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a fixed list
        <span key={index} className={styles.line} data-ranked={index < ranked}>
          <b>{index < ranked ? (form.ties && index === 2 ? 2 : index + 1) : "–"}</b>
          {under}
        </span>
      ))}
    </span>
  );
}
