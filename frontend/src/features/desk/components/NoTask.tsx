import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ApiProblem } from "@/api/problem";
import { EmptyState } from "@/shared/ui";
import { useDeskTexts } from "../texts/desk";
import { en } from "../texts/desk.en";
import { useFlowTexts } from "../texts/flow";

/** Why the server gives somebody no task, by the problem's type. None of these is an error: they say what to do. */
export type Why = { type: keyof typeof en.none; detail: string; mayTakeBack: boolean };

/** Who has had enough may still change what they said. */
const MAY_TAKE_BACK = new Set(["project-not-active", "cap-reached", "daily-cap-reached"]);

/** The refusal in plain words; null for a failure, which is shown as one. */
export function whyNoTask(error: unknown): Why | null {
  if (!(error instanceof ApiProblem) || error.status !== 409) return null;
  if (!Object.hasOwn(en.none, error.type)) return null;
  const type = error.type as Why["type"];
  return { type, detail: error.detail, mayTakeBack: MAY_TAKE_BACK.has(type) };
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
  const texts = useDeskTexts();
  return (
    <div style={{ maxWidth: 680, margin: "48px auto", padding: "0 16px" }}>
      <EmptyState
        title={texts.none[why.type]}
        actions={
          <>
            <Button onClick={onLook}>{texts.lookAgain}</Button>
            {why.mayTakeBack && (
              <Button variant="default" onClick={onTakeBack}>
                {t.takeBackLabel}
              </Button>
            )}
            <Button variant="default" component={Link} to={`/projects/${slug}`}>
              {texts.overview}
            </Button>
          </>
        }
      >
        <p>{why.detail}</p>
      </EmptyState>
    </div>
  );
}
