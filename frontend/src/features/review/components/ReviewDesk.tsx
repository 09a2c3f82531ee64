import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { Project, ReviewShown } from "@/api/types";
import { useDeskTexts } from "@/features/desk/texts/desk";
import { missing, toAnswer, toDraft } from "@/ranking/answer/answer";
import { ResponsesSection } from "@/ranking/cards/ResponsesSection";
import desk from "@/ranking/desk/desk.module.css";
import { useActiveTime } from "@/ranking/desk/useActiveTime";
import { useLease } from "@/ranking/desk/useLease";
import { useVerdict } from "@/ranking/desk/useVerdict";
import { TaskFields } from "@/ranking/fields/AnswerFields";
import { useRemembered } from "@/ranking/layout/remembered";
import { useView } from "@/ranking/layout/useView";
import { Standings } from "@/ranking/list/Standings";
import { useDeskState } from "@/ranking/state/useDeskState";
import { useLabels } from "@/ranking/state/useLabels";
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

/** One disputed task: what annotators said side by side, and the reviewer's own ranking by the desk's rules. */
export function ReviewDesk({ project, shown, onDone, onLeave }: Props) {
  const texts = useTexts();
  useDocumentTitle(texts.title);
  const { assignment, answers, decision } = shown;
  const { form, task } = assignment;
  const [state, dispatch] = useDeskState(assignment, decision ? { ...decision, touched: true } : null);
  const { ranking, fields, shownOrder, spoken } = state;
  const [gapsShown, setGapsShown] = useState(false);
  const activeMs = useActiveTime(0);
  const { lost } = useLease({ ...assignment, id: task.id }, renewReview);

  const { letters, excerpts } = useLabels(assignment.responses, shownOrder);
  const { pair, sides, position, best, questionsAbout } = useVerdict(
    form,
    assignment.responses,
    state,
    letters,
    dispatch,
  );
  const decide = useMutation({
    mutationFn: () =>
      decideReview(
        task.id,
        toAnswer(toDraft(ranking, fields, activeMs()), assignment.token, form, shownOrder),
      ),
    onSuccess: onDone,
  });
  const leave = useMutation({
    mutationFn: () => releaseReview(task.id, assignment.token),
    onSettled: onLeave,
  });

  const view = useView(pair, dispatch, useRemembered());
  const gaps = missing(form, fields, ranking, letters, useDeskTexts().gaps);
  const blocking = gaps.some(({ required }) => required);

  function tryDecide() {
    if (blocking || (gaps.length > 0 && !gapsShown)) return setGapsShown(true);
    decide.mutate();
  }

  return (
    <main id="main" className={view.wide ? `${desk.desk} ${desk.wide}` : desk.desk}>
      <section className={desk.prompt} aria-label={texts.conversationAndAnswers}>
        <div className={desk.paneHead}>
          <h2>{texts.conversation}</h2>
        </div>
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

      <ResponsesSection
        form={form}
        responses={assignment.responses}
        desk={state}
        sides={sides}
        position={position}
        letters={letters}
        excerpts={excerpts}
        raw={false}
        view={view}
        dispatch={dispatch}
      >
        {questionsAbout}
      </ResponsesSection>

      <aside className={desk.verdict} aria-label={texts.yourDecision}>
        <div className={desk.paneHead}>
          <h2>{texts.yourDecision}</h2>
        </div>
        {!pair && (
          <div className={desk.standings}>
            <Standings ranking={ranking} shownOrder={shownOrder} texts={excerpts} dispatch={dispatch} />
          </div>
        )}
        <TaskFields form={form} fields={fields} best={best} dispatch={dispatch} />
        {gapsShown && gaps.length > 0 && (
          <Notice tone="warn" title={texts.notAnswered}>
            <ul>
              {gaps.map(({ field, text }) => (
                <li key={field}>{text}</li>
              ))}
            </ul>
            {!blocking && <p>{texts.leaveOut(gaps.length)}</p>}
          </Notice>
        )}
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
            onClick={tryDecide}
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
      <div aria-live="polite" aria-atomic="true" className="visually-hidden">
        <span key={spoken.turn}>{spoken.text}</span>
      </div>
    </main>
  );
}
