"""The options of an import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from annotation.content.adding import checked_overlap
from annotation.content.importing.lines import ImportedVotes
from annotation.models import Project
from config.problems import FieldProblem, Problem
from preferences.text import MAX_RESPONSES, MIN_RESPONSES

MAX_INTEGER = 2**31 - 1


class ImportOptions(TypedDict, total=False):
    """Options of an import. `overlap`, `round` and `priority` apply to the new tasks. `mapping` chooses the
    columns of a table (see `preferences.formats.readers.table.chosen_mapping`). `votes` decides whether the
    rankings in the file close their tasks (see `ImportedVotes`). Responses without a ranking are divided
    among tasks of at most `responses_per_task` responses."""

    format: str | None
    mapping: Mapping[str, str] | None
    overlap: int | None
    responses_per_task: int | None
    round: int
    priority: int
    dry_run: bool
    votes: ImportedVotes


def checked_options(project: Project, options: ImportOptions) -> dict[str, Any]:
    """The overlap, round and priority of new tasks. Raises Problem if one of them, or the number of responses
    per task, is out of bounds."""
    placed = {"round": options.get("round", 0), "priority": options.get("priority", 0)}
    per_task = options.get("responses_per_task")
    for name, what, value, low, high in (
        ("round", "round", placed["round"], 0, MAX_INTEGER),
        ("priority", "priority", placed["priority"], -MAX_INTEGER, MAX_INTEGER),
        ("responses_per_task", "number of responses per task", per_task, MIN_RESPONSES, MAX_RESPONSES),
    ):
        if value is not None and not low <= value <= high:
            reason = f"It must be from {low} to {high}."
            raise Problem(f"The {what} is out of bounds.", errors=[FieldProblem(name, reason)])
    return {"overlap": checked_overlap(project, options.get("overlap")), **placed}
