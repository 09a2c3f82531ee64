import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient, useSuspenseQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import type { ReviewShown } from "@/api/types";
import { projectQuery } from "@/shared/session";
import { EmptyState, Loading, Page, Panel, ProblemNotice, TableScroll } from "@/shared/ui";
import ui from "@/shared/ui/ui.module.css";
import { openNextReview, openReview, reviewsQuery } from "../api/reviews";
import { useTexts } from "../texts";
import { ReviewDesk } from "./ReviewDesk";
import styles from "./review.module.css";

const percent = (share: number) => `${Math.round(share * 100)} %`;

/** The review queue, or the task that the reviewer opened from the queue. */
export function ReviewPage() {
  const texts = useTexts();
  const { slug } = useParams({ from: "/shell/projects/$slug/review" });
  const { data: project } = useSuspenseQuery(projectQuery(slug));
  const queryClient = useQueryClient();
  const queue = useQuery(reviewsQuery(slug));
  const [shown, setShown] = useState<ReviewShown | null>(null);
  const open = useMutation({
    mutationFn: (task: string | null) => (task === null ? openNextReview(slug) : openReview(task)),
    onSuccess: setShown,
    onSettled: () => queryClient.invalidateQueries({ queryKey: reviewsQuery(slug).queryKey }),
  });

  if (shown) {
    return (
      <ReviewDesk
        key={shown.assignment.token}
        project={project}
        shown={shown}
        onDone={() => {
          setShown(null);
          open.mutate(null);
        }}
        onLeave={() => {
          setShown(null);
          void queryClient.invalidateQueries({ queryKey: reviewsQuery(slug).queryKey });
        }}
      />
    );
  }

  const below = percent(project.review_below);
  return (
    <Page
      title={texts.title}
      lead={texts.lead(below)}
      actions={
        <Button loading={open.isPending} disabled={!queue.data?.n_waiting} onClick={() => open.mutate(null)}>
          {texts.next}
        </Button>
      }
    >
      {open.error && <ProblemNotice error={open.error} />}
      {queue.isPending && <Loading label={texts.looking} />}
      {queue.error && <ProblemNotice error={queue.error} />}
      {queue.data?.n_waiting === 0 && (
        <EmptyState title={texts.nothing}>
          <p>{texts.nothingWhy(below)}</p>
        </EmptyState>
      )}
      {queue.data && queue.data.n_waiting > 0 && (
        <Panel title={texts.toDecide(queue.data.n_waiting)} flush>
          <TableScroll label={texts.toDecide(queue.data.n_waiting)}>
            <thead>
              <tr>
                <th>{texts.prompt}</th>
                <th>{texts.agreement}</th>
                <th className={styles.aside}>{texts.rankings}</th>
                <th className={styles.aside}>{texts.openAt}</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {queue.data.waiting.map((row) => (
                <tr key={row.task}>
                  <td>
                    <span className={styles.excerpt} dir="auto">
                      {row.excerpt}
                    </span>
                  </td>
                  <td className={ui.number}>{percent(row.agreement)}</td>
                  <td className={`${ui.number} ${styles.aside}`}>{row.rankings}</td>
                  <td className={styles.aside}>{row.held_by ?? ""}</td>
                  <td>
                    <Button
                      size="compact-xs"
                      variant="default"
                      disabled={open.isPending}
                      onClick={() => open.mutate(row.task)}
                    >
                      {texts.open}
                    </Button>
                  </td>
                </tr>
              ))}
            </tbody>
          </TableScroll>
        </Panel>
      )}
      {queue.data && queue.data.n_decided > 0 && (
        <Panel title={texts.decisions(queue.data.n_decided)} flush>
          <TableScroll label={texts.decisions(queue.data.n_decided)}>
            <thead>
              <tr>
                <th>{texts.prompt}</th>
                <th>{texts.decidedBy}</th>
                <th />
              </tr>
            </thead>
            <tbody>
              {queue.data.decided.map((row) => (
                <tr key={row.task}>
                  <td>
                    <span className={styles.excerpt} dir="auto">
                      {row.excerpt}
                    </span>
                  </td>
                  <td>{row.decided_by}</td>
                  <td>
                    <Button
                      size="compact-xs"
                      variant="subtle"
                      disabled={open.isPending}
                      onClick={() => open.mutate(row.task)}
                    >
                      {texts.decideAnew}
                    </Button>
                  </td>
                </tr>
              ))}
            </tbody>
          </TableScroll>
        </Panel>
      )}
    </Page>
  );
}
