import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { Project, ReviewShown } from "@/api/types";
import { answerOn } from "@/ranking/desk/answerOf";
import {
  Announcer,
  DeskOrder,
  DeskQuestions,
  deskClass,
  GapsNotice,
  PaneHead,
} from "@/ranking/desk/DeskParts";
import { DeskResponses } from "@/ranking/desk/DeskResponses";
import desk from "@/ranking/desk/desk.module.css";
import { useActiveTime } from "@/ranking/desk/useActiveTime";
import { useDesk } from "@/ranking/desk/useDesk";
import { useGaps } from "@/ranking/desk/useGaps";
import { useLease } from "@/ranking/desk/useLease";
import { useRemembered } from "@/ranking/layout/remembered";
import { Conversation } from "@/shared/markdown/Conversation";
import { Notice, ProblemNotice, useDocumentTitle } from "@/shared/ui";
import { orderInLetters, saidBeside } from "../answers";
import { decideReview, releaseReview, renewReview } from "../api/reviews";
import { useTexts } from "../texts";
import styles from "./review.module.css";

type Props = {
  project: Project;
  shown: ReviewShown;
  onDone: () => void;
  onLeave: () => void;
};

/**
 * One disputed task, with the annotators' answers side by side. The reviewer ranks the responses on a desk like
 * that of the annotators.
 */
export function ReviewDesk({ project, shown, onDone, onLeave }: Props) {
  const texts = useTexts();
  useDocumentTitle(texts.title);
  const { assignment, answers, decision } = shown;
  const { form, task } = assignment;
  const ranked = useDesk(assignment, decision ? { ...decision, touched: true } : null, useRemembered());
  const { letters } = ranked;
  const gaps = useGaps(ranked);
  const activeMs = useActiveTime(0);
  const { lost } = useLease({ ...assignment, id: task.id }, renewReview);
  const decide = useMutation({
    mutationFn: () => decideReview(task.id, answerOn(ranked, activeMs())),
    onSuccess: onDone,
  });
  const leave = useMutation({
    mutationFn: () => releaseReview(task.id, assignment.token),
    onSettled: onLeave,
  });

  return (
    <main id="main" className={deskClass(ranked)}>
      <section className={desk.prompt} aria-label={texts.conversationAndAnswers}>
        <PaneHead title={texts.conversation} />
        <Conversation messages={task.prompt.messages} raw={false} />
        <h2 className={styles.head}>{texts.peopleSaid(answers.length)}</h2>
        <ul className={styles.answers}>
          {answers.map((answer) => (
            <li key={answer.id} className={styles.answer}>
              <strong>{answer.by || texts.notNamed}</strong>
              <span className={styles.order}>{orderInLetters(answer, letters, texts.said)}</span>
              {saidBeside(answer, form, letters, texts.said).map((line) => (
                <span key={line} className={styles.beside}>
                  {line}
                </span>
              ))}
              {answer.comment && <q className={styles.comment}>{answer.comment}</q>}
              {answer.rewrite && <p className={styles.comment}>{texts.rewrite(answer.rewrite)}</p>}
            </li>
          ))}
        </ul>
        {decision && (
          <p className={styles.beside}>
            {texts.decidedSo(decision.by, orderInLetters(decision, letters, texts.said))}
          </p>
        )}
      </section>

      <DeskResponses desk={ranked} />

      <aside className={desk.verdict} aria-label={texts.yourDecision}>
        <PaneHead title={texts.yourDecision} />
        <DeskOrder desk={ranked} />
        <DeskQuestions desk={ranked} />
        <GapsNotice gaps={gaps} leaveOut={texts.leaveOut} />
        {lost && (
          <Notice tone="warn" title={texts.notYours}>
            <p>{lost.detail || lost.title}</p>
          </Notice>
        )}
        {decide.error && <ProblemNotice error={decide.error} />}
        <div className={desk.submitRow}>
          <Button
            className={desk.submit ?? ""}
            loading={decide.isPending}
            disabled={lost !== null}
            onClick={() => gaps.pass() && decide.mutate()}
          >
            {texts.decide}
          </Button>
          <Button variant="default" loading={leave.isPending} onClick={() => leave.mutate()}>
            {texts.leave}
          </Button>
        </div>
        {project.guidelines && (
          <details>
            <summary>{texts.guidelines}</summary>
            <p className={styles.guidelines}>{project.guidelines}</p>
          </details>
        )}
      </aside>
      <Announcer desk={ranked} />
    </main>
  );
}
