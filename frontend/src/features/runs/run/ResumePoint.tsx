import type { Run } from "@/api/types";
import { ago } from "@/shared/format";
import { Notice } from "@/shared/ui";
import { isLive } from "../api/runs";
import { useTexts } from "../texts";

/** Shows the checkpoint from which the run would resume. Renders nothing for a run without a checkpoint. */
export function ResumePoint({ run }: { run: Run }) {
  const texts = useTexts().run;
  const { checkpoint_step: step, checkpoint_at: at } = run;
  if (step === null || step === undefined || !at || run.state === "succeeded") return null;
  const where =
    run.total_steps >= step && run.total_steps > 0 ? texts.stepOf(step, run.total_steps) : texts.step(step);
  const saved = texts.checkpointSaved(ago(at));
  if (run.state === "running") {
    return (
      <p>
        {texts.wouldResumeIfInterrupted(where)} {saved}
      </p>
    );
  }
  return (
    <Notice tone="info" title={isLive(run) ? texts.willResume(where) : texts.wouldResume(where)}>
      <p>
        {saved} {!isLive(run) && texts.checkpointKept}
      </p>
    </Notice>
  );
}
