import type { Round, RoundStep } from "@/api/types";
import type { Tone } from "@/shared/ui";

export const ROUND_TONES: Record<Round["state"], Tone> = {
  running: "info",
  succeeded: "good",
  stopped: "warn",
  failed: "bad",
  cancelled: "neutral",
  skipped: "neutral",
};
export const STEP_TONES: Record<RoundStep["state"], Tone> = { ...ROUND_TONES, pending: "neutral" };
