import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import type { Assignment, Feedback as Told } from "@/api/types";
import { letterOf } from "@/ranking/order/announce";
import { excerptOf } from "@/ranking/state/excerpt";
import { percent } from "@/shared/format";
import { Badge, Notice, ProblemNotice } from "@/shared/ui";
import { feedbackQuery } from "../api/assignments";
import { useFlowTexts } from "../texts/flow";
import styles from "./flow.module.css";

const TONES = { right: "good", tied: "warn", wrong: "bad" } as const;

/**
 * Feedback after a qualification task: the known answer next to the annotator's answer. `arrived`: whether
 * the server has received the answer.
 */
export function Feedback({
  assignment,
  arrived,
  onNext,
}: {
  assignment: Assignment;
  arrived: boolean;
  onNext: () => void;
}) {
  const t = useFlowTexts();
  const feedback = useQuery({ ...feedbackQuery(assignment.id), enabled: arrived });
  return (
    <div className={styles.feedback}>
      <h2>{t.feedbackTitle}</h2>
      {feedback.isError && <ProblemNotice error={feedback.error} />}
      {feedback.isPending && <output>{t.feedbackWaiting}</output>}
      {feedback.data && <Verdict told={feedback.data} assignment={assignment} />}
      <div>
        <Button onClick={onNext} autoFocus>
          {t.next}
        </Button>
      </div>
    </div>
  );
}

function Verdict({ told, assignment }: { told: Told; assignment: Assignment }) {
  const t = useFlowTexts();
  const { score, tiers, right_tiers, pairs, passed, attempt_score, pass_mark, attempts_left } = told;
  const shown = assignment.responses.map(({ id }) => id);
  const letter = (id: string) => letterOf(shown, id);
  const place = (of: readonly (readonly string[])[], id: string) => {
    const found = of.findIndex((tier) => tier.includes(id));
    return found < 0 ? t.unranked : String(found + 1);
  };
  const inOrder = right_tiers.flat();
  return (
    <>
      <p className={styles.score}>
        <strong>{t.feedbackScore(percent(score))}</strong>
      </p>
      {passed !== null && attempt_score !== null && pass_mark !== null && (
        <Notice tone={passed ? "good" : "warn"} title={passed ? t.passedTitle : t.failedTitle}>
          <p>{(passed ? t.passed : t.failed)(percent(attempt_score), percent(pass_mark))}</p>
          {attempts_left !== null && <p>{t.attemptsLeft(attempts_left)}</p>}
        </Notice>
      )}
      <table className={styles.places} aria-label={t.feedbackTitle}>
        <thead>
          <tr>
            <th scope="col">{t.feedbackPlace}</th>
            <th scope="col">{t.feedbackRight}</th>
            <th scope="col">{t.feedbackYours}</th>
          </tr>
        </thead>
        <tbody>
          {inOrder.map((id) => (
            <tr key={id}>
              <th scope="row" className={styles.response}>
                <span className={styles.letter}>{letter(id)}</span>{" "}
                <span dir="auto">
                  {excerptOf(assignment.responses.find((one) => one.id === id)?.text ?? "")}
                </span>
              </th>
              <td>{place(right_tiers, id)}</td>
              <td>{place(tiers, id)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{t.feedbackPairs}</h3>
      {score === 1 ? (
        <p>{t.feedbackAllRight}</p>
      ) : (
        <ul className={styles.pairs}>
          {pairs.map(({ better, worse, said }) => (
            <li key={`${better} ${worse}`} data-said={said}>
              {t.feedbackPair(letter(better), letter(worse))}{" "}
              <Badge tone={TONES[said]}>{t.feedbackSaid[said]}</Badge>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}
