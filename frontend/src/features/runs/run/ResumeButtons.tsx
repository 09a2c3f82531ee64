import { Button } from "@mantine/core";
import type { Run } from "@/api/types";
import type { ResumeChanges } from "../api/runs";
import { useTexts } from "../texts";

/**
 * The new time limit, in minutes, for resuming a run that has reached its limit: twice the old limit.
 * Undefined for all other runs.
 */
function higherLimitOf(run: Run): number | undefined {
  const limit = run.recipe.max_minutes;
  return run.failure?.kind === "time_limit" && typeof limit === "number" ? 2 * limit : undefined;
}

/** The buttons that resume a failed or cancelled run. Renders nothing for any other run. */
export function ResumeButtons({
  run,
  pending,
  onResume,
}: {
  run: Run;
  pending: boolean;
  onResume: (changes: ResumeChanges) => void;
}) {
  const texts = useTexts().run;
  if (run.state !== "failed" && run.state !== "cancelled") return null;
  const limit = higherLimitOf(run);
  const again = (run.checkpoint_step ?? null) === null ? texts.again : texts.resume;
  return (
    <>
      <Button
        variant={run.failure?.again ? "filled" : "default"}
        loading={pending}
        onClick={() => onResume(limit === undefined ? {} : { max_minutes: limit })}
      >
        {limit === undefined ? again : texts.againFor(limit)}
      </Button>
      {run.failure?.kind === "device_differs" && (
        <Button variant="default" loading={pending} onClick={() => onResume({ other_device: true })}>
          {texts.onOtherDevice}
        </Button>
      )}
    </>
  );
}
