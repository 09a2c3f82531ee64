import type { Run } from "@/api/types";
import { ago } from "@/shared/format";
import { Notice } from "@/shared/ui";
import { useTexts } from "../texts";

/**
 * Lists the attempts that were interrupted and then resumed automatically, with the reason for each
 * interruption.
 */
export function Interruptions({ run }: { run: Run }) {
  const texts = useTexts().run;
  if (run.interruptions.length === 0) return null;
  return (
    <Notice tone="warn" title={texts.resumed(run.interruptions.length)}>
      <ul>
        {run.interruptions.map((each) => (
          <li key={each.attempt}>
            {texts.interrupted(each.attempt, ago(each.at))} {each.title}. {each.detail.split("\n")[0]}
          </li>
        ))}
      </ul>
    </Notice>
  );
}
