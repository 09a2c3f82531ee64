"""What annotators report of the tasks they are shown, for managers to settle."""

from __future__ import annotations

from typing import Any, Final

from django.db.models.functions import Now

from annotation.models import Assignment, TaskProblem, User
from annotation.models.task_problem import TaskProblemQuerySet
from config.problems import Conflict, FieldProblem, Problem

OPEN_AGAIN: Final[dict[str, Any]] = {"settled_at": None, "settled_by": None, "note": ""}


def report_problem(*, assignment: Assignment, kind: str, text: str = "") -> tuple[TaskProblem, bool]:
    """Notes what is wrong with the assignment's task; whether it is new. Said of the same kind before, the
    new words take the place of the old ones (the audit log has both), and what was settled is open again.

    Raises Problem for the kind `other` without words.
    """
    text = text.strip()
    if kind == TaskProblem.Kind.OTHER and not text:
        raise Problem("The report says too little.", errors=[FieldProblem("text", "Say what is wrong.")])
    return TaskProblem.objects.update_or_create(
        assignment=assignment,
        kind=kind,
        defaults={"text": text, **OPEN_AGAIN},
        create_defaults={
            "text": text,
            "project_id": assignment.project_id,
            "task_id": assignment.task_id,
            "annotator_id": assignment.annotator_id,
        },
    )


def settle_problem(*, problem: TaskProblem, by: User, note: str = "", text: str | None = None) -> TaskProblem:
    """Says that the report needs no more care. Conflict when somebody settled it already or, where the `text`
    that was read is given, the annotator has said something else since."""
    rows = TaskProblem.objects.unsettled()
    return _moved(
        problem,
        rows if text is None else rows.filter(text=text),
        {"settled_at": Now(), "settled_by": by, "note": note.strip()},
        otherwise="It was settled, or said anew, since you looked.",
    )


def reopen_problem(*, problem: TaskProblem) -> TaskProblem:
    """Takes the settling back; its note stays in the audit log. Conflict when it is open already."""
    rows = TaskProblem.objects.settled()
    return _moved(problem, rows, OPEN_AGAIN, otherwise="It is open already.")


def _moved(
    problem: TaskProblem, rows: TaskProblemQuerySet, changes: dict[str, Any], *, otherwise: str
) -> TaskProblem:
    if rows.filter(pk=problem.pk).update(**changes) != 1:
        raise Conflict(f"{otherwise} Look at it again.", type="stale")
    return TaskProblem.objects.with_shown().get(pk=problem.pk)
