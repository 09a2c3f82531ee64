import { Button } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { Project } from "@/api/types";
import { projectQuery } from "@/shared/session";
import { Badge, Panel, ProblemNotice } from "@/shared/ui";
import { Dialog } from "@/shared/ui/Dialog";
import { changeProject } from "../api/settings";
import { useTexts } from "../texts";
import styles from "./settings.module.css";

type State = Project["state"];

const STATES: readonly State[] = ["active", "paused", "archived"];

/**
 * The project's state, separate from the other settings, because a change of state immediately affects
 * annotators who are working.
 */
export function StateSection({ project }: { project: Project }) {
  const t = useTexts();
  const [wanted, setWanted] = useState<State | null>(null);
  return (
    <Panel title={t.state}>
      <ul className={styles.states}>
        {STATES.map((state) => (
          <li key={state} className={styles.state} data-now={state === project.state}>
            <div className={styles.stateHead}>
              <h3>{t.states[state].title}</h3>
              {state === project.state && <Badge tone="info">{t.now}</Badge>}
            </div>
            <p>{t.states[state].means}</p>
            {state !== project.state && (
              <Button size="xs" variant="default" onClick={() => setWanted(state)}>
                {t.states[state].action}
              </Button>
            )}
          </li>
        ))}
      </ul>
      {wanted && <StateDialog project={project} wanted={wanted} onClose={() => setWanted(null)} />}
    </Panel>
  );
}

function StateDialog({ project, wanted, onClose }: { project: Project; wanted: State; onClose: () => void }) {
  const t = useTexts();
  const queryClient = useQueryClient();
  const change = useMutation({
    mutationFn: () => changeProject(project.slug, { state: wanted }),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: projectQuery(project.slug).queryKey });
      onClose();
    },
  });
  // The numbers in the dialog are fetched again, because annotators submit answers while this page is open.
  const { data: fresh = project } = useQuery({ ...projectQuery(project.slug), staleTime: 0 });
  const open = fresh.counts.open_tasks ?? 0;
  const effects = {
    active: [t.effects.active(open), ...(project.state === "archived" ? [t.effects.activeFromArchive] : [])],
    paused: [t.effects.paused(open), t.effects.pausedWork],
    archived: [t.effects.archived, t.effects.archivedAnswers, t.effects.archivedBack],
  }[wanted];
  return (
    <Dialog
      title={t.states[wanted].question}
      onClose={onClose}
      actions={
        <>
          <Button variant="default" onClick={onClose}>
            {t.cancel}
          </Button>
          <Button
            {...(wanted === "archived" && { color: "red" })}
            loading={change.isPending}
            onClick={() => change.mutate()}
          >
            {t.states[wanted].action}
          </Button>
        </>
      }
    >
      <ul className={styles.effects}>
        {effects.map((effect) => (
          <li key={effect}>{effect}</li>
        ))}
      </ul>
      {change.isError && <ProblemNotice error={change.error} />}
    </Dialog>
  );
}
