"""What annotators report of the tasks they are shown, for managers to read."""

from __future__ import annotations

from annotation.models import Assignment, TaskProblem
from config.problems import FieldProblem, Problem


def report_problem(*, assignment: Assignment, kind: str, text: str = "") -> tuple[TaskProblem, bool]:
    """Notes what is wrong with the assignment's task; whether it is new. Said of the same kind before, the
    new words take the place of the old ones (the audit log has both).

    Raises Problem for the kind `other` without words.
    """
    text = text.strip()
    if kind == TaskProblem.Kind.OTHER and not text:
        raise Problem("The report says too little.", errors=[FieldProblem("text", "Say what is wrong.")])
    return TaskProblem.objects.update_or_create(
        assignment=assignment,
        kind=kind,
        defaults={"text": text},
        create_defaults={
            "text": text,
            "project_id": assignment.project_id,
            "task_id": assignment.task_id,
            "annotator_id": assignment.annotator_id,
        },
    )
