"""Problems with tasks: annotators report problems, and managers resolve the reports."""

from __future__ import annotations

from typing import Any, Final

from django.db.models.functions import Now

from annotation.models import Assignment, TaskProblem, User
from annotation.models.task_problem import TaskProblemQuerySet
from config.problems import Conflict, FieldProblem, Problem

OPEN_AGAIN: Final[dict[str, Any]] = {"settled_at": None, "settled_by": None, "note": ""}


def report_problem(*, assignment: Assignment, kind: str, text: str = "") -> tuple[TaskProblem, bool]:
    """Reports a problem with the assignment's task. Returns the report and whether it is new.

    If a problem of this kind has already been reported, the new text replaces the earlier text, and a
    resolved report is reopened. The audit log keeps both texts. Raises Problem for the kind `other` without
    text.
    """
    text = text.strip()
    if kind == TaskProblem.Kind.OTHER and not text:
        raise Problem("The report has no text.", errors=[FieldProblem("text", "Describe the problem.")])
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
    """Marks the report as resolved. `text` is the report's text as the manager read it, if known. Raises
    Conflict if the report is already resolved. Also raises Conflict if the annotator has changed the text
    since the manager read it."""
    rows = TaskProblem.objects.unsettled()
    return _moved(
        problem,
        rows if text is None else rows.filter(text=text),
        {"settled_at": Now(), "settled_by": by, "note": note.strip()},
        otherwise="The report was resolved or changed in the meantime.",
    )


def reopen_problem(*, problem: TaskProblem) -> TaskProblem:
    """Reopens the report and clears its note, which stays in the audit log. Raises Conflict if the report is
    already open."""
    rows = TaskProblem.objects.settled()
    return _moved(problem, rows, OPEN_AGAIN, otherwise="The report is already open.")


def _moved(
    problem: TaskProblem, rows: TaskProblemQuerySet, changes: dict[str, Any], *, otherwise: str
) -> TaskProblem:
    if rows.filter(pk=problem.pk).update(**changes) != 1:
        raise Conflict(f"{otherwise} Load the report again.", type="stale")
    return TaskProblem.objects.with_shown().get(pk=problem.pk)
