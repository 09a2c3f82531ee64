import type { ReactNode } from "react";
import type { Draft } from "../draft";

/** What each section of the settings is given. */
export type SectionProps = {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  /** The server's reason against a setting, by the setting's name there. */
  refused: (name: string) => string | undefined;
};

export type Section = (props: SectionProps) => ReactNode;
