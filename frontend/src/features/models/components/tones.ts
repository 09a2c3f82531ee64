import type { Model } from "@/api/types";
import type { Tone } from "@/shared/ui";

export const TONES: Record<Model["stage"], Tone> = {
  candidate: "neutral",
  production: "good",
  archived: "neutral",
};
