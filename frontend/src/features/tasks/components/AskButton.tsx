import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import type { TaskDetail } from "@/api/types";
import { ProblemNotice } from "@/shared/ui";
import { askTask, refreshProblems } from "../api/problems";
import { useTexts } from "../texts";

/** Closes or reopens a task. Renders nothing for a task that has all its rankings. Existing answers are kept. */
export function AskButton({
  slug,
  task,
  size = "xs",
}: {
  slug: string;
  task: Pick<TaskDetail, "id" | "state">;
  size?: "xs" | "compact-xs";
}) {
  const { ask: texts } = useTexts();
  const queryClient = useQueryClient();
  const dropped = task.state === "dropped";
  const ask = useMutation({
    mutationFn: () => askTask(slug, task.id, dropped),
    onSuccess: () => refreshProblems(queryClient, slug),
  });
  if (task.state === "done") return null;
  return (
    <>
      <Button
        size={size}
        variant="default"
        title={dropped ? texts.againHelp : texts.stopHelp}
        loading={ask.isPending}
        onClick={() => ask.mutate()}
      >
        {dropped ? texts.again : texts.stop}
      </Button>
      {ask.isError && <ProblemNotice error={ask.error} />}
    </>
  );
}
