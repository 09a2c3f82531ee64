import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { Project } from "@/api/types";
import { tasksOf } from "@/shared/session";
import { EmptyState } from "@/shared/ui";
import { useDeskTexts } from "../texts/desk";
import { useFlowTexts } from "../texts/flow";

export function NothingToRank({
  project,
  done,
  onLook,
  onTakeBack,
}: {
  project: Project;
  done: number;
  onLook: () => void;
  onTakeBack: () => void;
}) {
  const t = useFlowTexts();
  const texts = useDeskTexts();
  const mine = project.counts.my_rankings;
  const { tasks, open } = tasksOf(project);
  return (
    <div style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
      <EmptyState
        title={done > 0 || mine > 0 ? texts.rankedAll : texts.nothingYet}
        actions={
          <>
            <Button onClick={onLook} autoFocus>
              {texts.lookAgain}
            </Button>
            {(done > 0 || mine > 0) && (
              <Button variant="default" onClick={onTakeBack}>
                {t.takeBackLabel}
              </Button>
            )}
            <Button variant="default" component={Link} to={`/projects/${project.slug}`}>
              {texts.overview}
            </Button>
          </>
        }
      >
        {project.state !== "active" ? (
          <p>{texts.stopped[project.state]}</p>
        ) : (
          <>
            <p>
              {mine > 0 && `${texts.mine(mine)} `}
              {texts.wanted(project.overlap)}
            </p>
            <p>
              {tasks === 0
                ? texts.newTasks
                : `${tasks === null ? "" : `${texts.others(open, tasks)} `}${texts.comesBack}`}
            </p>
          </>
        )}
        <p>{texts.looksAgain}</p>
      </EmptyState>
    </div>
  );
}
