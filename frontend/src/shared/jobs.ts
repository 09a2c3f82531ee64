import type { JobState } from "@/api/types";
import type { Tone } from "@/shared/ui";

/** The tone of a badge that shows the state of a training run or an import. */
export const jobTone: Record<JobState, Tone> = {
  queued: "neutral",
  running: "info",
  succeeded: "good",
  failed: "bad",
  cancelled: "warn",
};

export const isFinal = (state: JobState): boolean => state !== "queued" && state !== "running";
