"""A project's training loop. A periodic task launches the loop's runs, one at a time.

    enough new comparisons → reward_model → rejection_sampling, rloo or ppo → sample → (annotators rank) → …

A failed or cancelled run ends the round. The next round starts when there are enough new comparisons.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from annotation.models import Comparison, Project
from config.problems import Problem
from training.models import Loop, TrainingRun
from training.runs.launch import launch_run

logger = logging.getLogger(__name__)
Kind = TrainingRun.Kind
State = TrainingRun.State


def set_loop(*, project: Project, settings: Mapping[str, Any]) -> Loop:
    """Create or update the project's loop. `settings` are fields of Loop; omitted fields keep
    their values."""
    return Loop.objects.update_or_create(project=project, defaults=settings)[0]


def turn_loops() -> None:
    """Call :func:`turn_loop` for every enabled loop. If a loop can't launch a run or fails, the reason is
    logged and the other loops continue."""
    for loop in Loop.objects.filter(enabled=True):
        try:
            turn_loop(loop=loop)
        except Problem as problem:
            logger.warning("The loop of project %s can't continue: %s", loop.project_id, problem.detail)
        except Exception:
            logger.exception("The loop of project %s failed.", loop.project_id)


@transaction.atomic
def turn_loop(*, loop: Loop) -> TrainingRun | None:
    """Launch the loop's next run if it is due, and return the run. Return None if no run is due. Of two
    concurrent calls, only one launches the run."""
    loop = Loop.objects.select_for_update(no_key=True).select_related("project").get(pk=loop.pk)
    unfinished = TrainingRun.objects.filter(project=loop.project, state__in=[State.QUEUED, State.RUNNING])
    if not loop.enabled or unfinished.exists():
        return None
    last = loop.runs.order_by("-created_at").first()
    step = _next_step(loop, last)
    if step is None:
        return None
    kind, inputs = step
    run = launch_run(project=loop.project, kind=kind, recipe={}, inputs=inputs, user=None)
    run.loop = loop
    run.save(update_fields=["loop"])
    return run


def _next_step(loop: Loop, last: TrainingRun | None) -> tuple[str, dict[str, str]] | None:
    if last is not None and last.state == State.SUCCEEDED and last.kind != Kind.SAMPLE:
        made = last.result["model"]["name"]
        if last.kind == Kind.REWARD_MODEL:
            return loop.improve_with, {"reward_model": made}
        return Kind.SAMPLE, {"policy": made}
    if _new_comparisons(loop) >= loop.min_new_comparisons:
        return Kind.REWARD_MODEL, {}
    return None


def _new_comparisons(loop: Loop) -> int:
    """The number of comparisons made since the loop last launched a reward_model run. If the loop has never
    launched such a run, all comparisons are counted."""
    comparisons = Comparison.objects.counted().filter(project=loop.project)
    trained = loop.runs.filter(kind=Kind.REWARD_MODEL).order_by("-created_at").first()
    if trained is not None:
        comparisons = comparisons.filter(ranking__created_at__gt=trained.created_at)
    return comparisons.count()
