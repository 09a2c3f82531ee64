import { Button } from "@mantine/core";
import { useState } from "react";
import type { TaskDetail } from "@/api/types";
import { useTexts } from "../texts";
import { MakeCheckDialog } from "./MakeCheckDialog";

export function MakeCheckButton({ slug, task }: { slug: string; task: Pick<TaskDetail, "id" | "kind"> }) {
  const { dialog } = useTexts();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button size="xs" variant="default" onClick={() => setOpen(true)}>
        {task.kind === "ranking" ? dialog.title : dialog.change}
      </Button>
      {open && <MakeCheckDialog project={{ slug }} taskId={task.id} onClose={() => setOpen(false)} />}
    </>
  );
}
