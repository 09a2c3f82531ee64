import type { ReactNode } from "react";
import type { Draft } from "../draft";

/** The props of each section of the settings. */
export type SectionProps = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  /** Returns the server's error for a setting, given the setting's name in the API. */
  refused: (name: string) => string | undefined;
};

export type Section = (props: SectionProps) => ReactNode;
