import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { EmptyState } from "@/shared/ui";
import { useDeskTexts } from "../texts/desk";
import { useFlowTexts } from "../texts/flow";
import type { Why } from "./whyNoTask";

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
            <Button onClick={onLook} autoFocus>
              {texts.lookAgain}
            </Button>
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
