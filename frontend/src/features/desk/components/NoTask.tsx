import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ApiProblem } from "@/api/problem";
import { EmptyState } from "@/shared/ui";
import { useFlowTexts } from "../texts/flow";

/** Why the server gives somebody no task, by the problem's type. None of these is an error: they say what to do. */
const TITLES: Readonly<Record<string, string>> = {
  "project-not-active": "This project gives out no tasks at present",
  "annotator-paused": "You are paused in this project",
  "annotator-excluded": "You are excluded from this project",
  "qualification-failed": "You did not qualify for this project",
  "cap-reached": "You have done your share of this project",
  "daily-cap-reached": "That was all for today",
};

export type Why = { title: string; detail: string; mayTakeBack: boolean };

/** Who has had enough may still change what they said. */
const MAY_TAKE_BACK = new Set(["project-not-active", "cap-reached", "daily-cap-reached"]);

/** The refusal in plain words; null for a failure, which is shown as one. */
export function whyNoTask(error: unknown): Why | null {
  if (!(error instanceof ApiProblem) || error.status !== 409) return null;
  const title = TITLES[error.type];
  return title ? { title, detail: error.detail, mayTakeBack: MAY_TAKE_BACK.has(error.type) } : null;
}

export function NoTask({
  why,
  slug,
  onLook,
  onTakeBack,
}: {
  why: Why;
  slug: string;
  onLook: () => void;
  onTakeBack: () => void;
}) {
  const t = useFlowTexts();
  return (
    <div style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
      <EmptyState
        title={why.title}
        actions={
          <>
            <Button onClick={onLook}>Look again</Button>
            {why.mayTakeBack && (
              <Button variant="default" onClick={onTakeBack}>
                {t.takeBackLabel}
              </Button>
            )}
            <Button variant="default" component={Link} to={`/projects/${slug}`}>
              Project overview
            </Button>
          </>
        }
      >
        <p>{why.detail}</p>
      </EmptyState>
    </div>
  );
}
