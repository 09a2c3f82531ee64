import { Button, Checkbox } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useReducer, useState } from "react";
import type { Project, TaskDetail } from "@/api/types";
import { isTouched, reduce } from "@/ranking/order/rankingReducer";
import { Conversation } from "@/shared/markdown/Conversation";
import { Loading, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { Icon } from "@/shared/ui/Icon";
import { setKind, taskQuery } from "../api/checks";
import { goldToEdit, saysSomething } from "../gold";
import { useTexts } from "../texts";
import styles from "./checks.module.css";
import { GoldOrder } from "./GoldOrder";

type Kind = TaskDetail["kind"];

/** Turns any task into a check, changes its known answer, or turns a check back into a regular task. */
export function MakeCheckDialog({
  project,
  taskId,
  onClose,
}: {
  project: Pick<Project, "slug">;
  taskId: string;
  onClose: () => void;
}) {
  const t = useTexts().dialog;
  const task = useQuery(taskQuery(project.slug, taskId));
  if (task.data) return <CheckForm slug={project.slug} task={task.data} onClose={onClose} />;
  return (
    <Dialog title={t.title} onClose={onClose} wide>
      {task.isError ? <ProblemNotice error={task.error} /> : <Loading label={t.loading} />}
    </Dialog>
  );
}

function CheckForm({ slug, task, onClose }: { slug: string; task: TaskDetail; onClose: () => void }) {
  const texts = useTexts();
  const t = texts.dialog;
  const queryClient = useQueryClient();
  const isCheck = task.kind !== "ranking";
  const [kind, setKindTo] = useState<Kind>(isCheck ? task.kind : "gold");
  const [ranking, dispatch] = useReducer(reduce, task, goldToEdit);
  const [confirmed, setConfirmed] = useState(false);
  const back = kind === "ranking";
  const judged = isTouched(ranking) || confirmed;

  const save = useMutation({
    mutationFn: () => setKind(slug, task.id, kind, back ? undefined : ranking.tiers),
    onSuccess: async () => {
      // Task lists are long and cached page by page. The lists are removed from the cache, so that the next
      // visit fetches one page instead of refetching all pages.
      queryClient.removeQueries({ queryKey: ["tasks", slug], type: "inactive" });
      await Promise.all(
        [taskQuery(slug, task.id).queryKey, ["checks", slug], ["projects", slug]].map((queryKey) =>
          queryClient.invalidateQueries({ queryKey }),
        ),
      );
      onClose();
    },
  });

  const kinds: Kind[] = ["gold", "attention", "qualification", ...(isCheck ? (["ranking"] as const) : [])];
  return (
    <Dialog
      title={isCheck ? t.change : t.title}
      onClose={onClose}
      wide
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button
            loading={save.isPending}
            disabled={!back && (!judged || !saysSomething(ranking))}
            onClick={() => save.mutate()}
          >
            {back ? t.saveBack : t.save}
          </Button>
        </>
      }
    >
      <div className={styles.form}>
        <fieldset className={styles.kinds}>
          <legend>{t.what}</legend>
          {kinds.map((one) => (
            <label key={one} data-checked={one === kind}>
              <input type="radio" name="check-kind" checked={one === kind} onChange={() => setKindTo(one)} />
              <span>
                <strong>{texts.kinds[one].title}</strong>
                <small>{texts.kinds[one].means}</small>
              </span>
            </label>
          ))}
        </fieldset>
        <details className={styles.prompt}>
          <summary>{t.prompt}</summary>
          <Conversation messages={task.prompt.messages} raw={false} />
        </details>
        {!back && (
          <section>
            <div className={styles.orderHead}>
              <h3>{t.order}</h3>
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                leftSection={<Icon name="undo" size={14} />}
                disabled={ranking.past.length === 0}
                onClick={() => dispatch({ type: "undo" })}
              >
                {t.undo}
              </Button>
            </div>
            <p className={styles.dim}>{t.orderHelp}</p>
            <GoldOrder responses={task.responses} ranking={ranking} dispatch={dispatch} />
            {!isTouched(ranking) && (
              <div className={styles.untouched}>
                <p>{t.untouched}</p>
                <Checkbox
                  size="sm"
                  label={t.confirmOrder}
                  checked={confirmed}
                  onChange={(event) => setConfirmed(event.currentTarget.checked)}
                />
              </div>
            )}
          </section>
        )}
        <p className={styles.effect}>{back ? t.backs : t.scored(task.answered)}</p>
        {!back && !isCheck && <p className={styles.effect}>{t.leaves}</p>}
        {save.isError && <ProblemNotice error={save.error} />}
      </div>
    </Dialog>
  );
}
