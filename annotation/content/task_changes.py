"""Changes that managers make to a task: kind, gold answer, priority and state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from annotation.desk import checks
from annotation.models import Project, RankingTask

SETTABLE_STATES = [
    (state.value, state.label) for state in (RankingTask.State.OPEN, RankingTask.State.DROPPED)
]


@transaction.atomic
def change_task(*, project: Project, task: RankingTask, changes: Mapping[str, Any]) -> RankingTask:
    """Applies `kind`, `gold_tiers`, `priority` and `state` (open or dropped) atomically, or raises Problem.
    If a reopened task already has all its answers, its state becomes done again."""
    if "kind" in changes or "gold_tiers" in changes:
        checks.set_kind(task=task, kind=changes.get("kind", task.kind), gold_tiers=changes.get("gold_tiers"))
    row = RankingTask.objects.select_for_update(no_key=True).get(pk=task.pk, project=project)
    if "priority" in changes:
        row.priority = changes["priority"]
    state = changes.get("state")
    if state == RankingTask.State.DROPPED:
        row.state = RankingTask.State.DROPPED
    elif state == RankingTask.State.OPEN and row.state == RankingTask.State.DROPPED:
        complete = not row.is_check and row.answered >= row.overlap
        row.state = RankingTask.State.DONE if complete else RankingTask.State.OPEN
    row.save(update_fields=["priority", "state"])
    return row
