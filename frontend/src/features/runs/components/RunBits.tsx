import type { Run, RunState } from "@/api/types";
import { duration } from "@/shared/format";
import { Badge, type Tone } from "@/shared/ui";
import { useTexts } from "../texts";

const TONES: Record<RunState, Tone> = {
  queued: "neutral",
  running: "info",
  succeeded: "good",
  failed: "bad",
  cancelled: "warn",
};

export function StateBadge({ state }: { state: RunState }) {
  return <Badge tone={TONES[state]}>{useTexts().states[state]}</Badge>;
}

const SHORT_KINDS: Record<string, string> = { sft: "SFT", ppo: "PPO", dpo: "DPO" };

export function kindTitle(kind: string): string {
  const spaced = kind.replaceAll("_", " ");
  return SHORT_KINDS[kind] ?? spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

export function tookSeconds(run: Run, now: number = Date.now()): number | null {
  if (!run.started_at) return null;
  return (Date.parse(run.finished_at ?? new Date(now).toISOString()) - Date.parse(run.started_at)) / 1000;
}

export function Took({ run }: { run: Run }) {
  const seconds = tookSeconds(run);
  return seconds === null ? "–" : duration(seconds);
}
