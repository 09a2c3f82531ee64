"""Choose a run's prompts. The seed determines the order of the prompts, so a repeated run chooses the same
prompts.

Each function survives an outage of the database, because a run can read its prompts late.
"""

from __future__ import annotations

import random
from uuid import UUID

from django.db.models import Count

from annotation.database.outages import through_outages
from annotation.models import Project, Prompt
from training.rlhf.core.failures import FailureKind, UnusableInput
from training.rlhf.core.messages import Messages


def draw_prompts(*, project: Project, split: str | None, limit: int, seed: int) -> list[Messages]:
    """Return up to `limit` prompts of the split, in random order. If `split` is None, both splits are used.
    Raises UnusableInput if there are no prompts."""
    prompts = Prompt.objects.filter(project=project)
    if split is not None:
        prompts = prompts.filter(split=split)
    ids = through_outages(lambda: list(prompts.order_by("id").values_list("id", flat=True)))
    if not ids:
        raise UnusableInput(
            f"the project has no {split} prompts" if split else "the project has no prompts",
            FailureKind.DATA_EMPTY,
        )
    random.Random(f"prompts {seed}").shuffle(ids)
    return _messages(ids[:limit])


def prompts_to_sample(*, project: Project, limit: int, seed: int) -> list[Messages]:
    """Return up to `limit` prompts of both splits, starting with the prompts that have the fewest tasks.
    Prompts with the same number of tasks are in random order. Raises UnusableInput if there are no
    prompts."""
    counted = Prompt.objects.filter(project=project).annotate(n_tasks=Count("tasks")).order_by("id")
    rows = through_outages(lambda: list(counted.values_list("n_tasks", "id")))
    if not rows:
        raise UnusableInput("the project has no prompts", FailureKind.DATA_EMPTY)
    random.Random(f"prompts {seed}").shuffle(rows)
    return _messages([id for _, id in sorted(rows, key=lambda row: row[0])[:limit]])


def _messages(ids: list[UUID]) -> list[Messages]:
    chosen = Prompt.objects.filter(id__in=ids).values_list("id", "messages")
    found = through_outages(lambda: dict(chosen.all()))
    return [found[id] for id in ids]
