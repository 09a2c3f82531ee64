import { Button } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import type { Run } from "@/api/types";
import { Notice, Panel, ProblemNotice } from "@/shared/ui";
import { askForRankings, candidatesUrl } from "../api/runs";
import { useTexts } from "../texts";

/** A download of the run's sampled answers, and a button that creates ranking tasks from the answers. */
export function Candidates({ run, asks }: { run: Run; asks: boolean }) {
  const texts = useTexts().candidates;
  const ask = useMutation({ mutationFn: () => askForRankings(run.id) });
  const stored = run.result.candidates;
  if (!stored) return null;
  return (
    <Panel title={texts.title}>
      <p>{texts.what}</p>
      <p>
        SHA-256 <code>{stored.sha256}</code>
      </p>
      {ask.isError && <ProblemNotice error={ask.error} />}
      {ask.data && <Notice tone="good" title={texts.asked(ask.data.tasks, ask.data.unchanged)} />}
      <Button.Group>
        <Button component="a" size="xs" variant="default" href={candidatesUrl(run.id)} download>
          {texts.download}
        </Button>
        {asks && (
          <Button size="xs" variant="default" loading={ask.isPending} onClick={() => ask.mutate()}>
            {texts.ask}
          </Button>
        )}
      </Button.Group>
    </Panel>
  );
}
