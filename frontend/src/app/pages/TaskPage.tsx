import { useParams } from "@tanstack/react-router";
import { MakeCheckButton } from "@/features/checks/components/MakeCheckButton";
import { TaskView } from "@/features/tasks/components/TaskView";

/** One task, with a button that turns the task into a check. */
export function TaskPage() {
  const { slug, taskId } = useParams({ from: "/shell/projects/$slug/tasks/$taskId" });
  return (
    <TaskView
      slug={slug}
      taskId={taskId}
      checkButton={(task) => <MakeCheckButton slug={slug} task={task} />}
    />
  );
}
