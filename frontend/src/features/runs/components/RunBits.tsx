import type { JobState, Run } from "@/api/types";
import { duration } from "@/shared/format";
import { jobTone } from "@/shared/jobs";
import { Badge } from "@/shared/ui";
import { useTexts } from "../texts";

export function StateBadge({ state }: { state: JobState }) {
  return <Badge tone={jobTone[state]}>{useTexts().states[state]}</Badge>;
}

export function tookSeconds(run: Run, now: number = Date.now()): number | null {
  if (!run.started_at) return null;
  return (Date.parse(run.finished_at ?? new Date(now).toISOString()) - Date.parse(run.started_at)) / 1000;
}

export function Took({ run }: { run: Run }) {
  const seconds = tookSeconds(run);
  return seconds === null ? "–" : duration(seconds);
}
