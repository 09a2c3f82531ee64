"""Set up a project's loop, and turn all loops: start rounds that are due and advance the running ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from annotation.models import Project, User
from config.problems import Problem
from training.loop.rounds import advance_round, skip_round, start_round
from training.loop.settings import LoopSettings, parse_settings
from training.loop.triggers import has_new_comparisons, latest_tick, used_up
from training.models import Loop, Round

logger = logging.getLogger(__name__)
Trigger = Round.Trigger


@transaction.atomic
def set_loop(*, project: Project, settings: Mapping[str, Any], enabled: bool | None = None) -> Loop:
    """Create or update the project's loop. Omitted settings keep their values. Raises Problem, and changes
    nothing, for an invalid setting. A running round keeps the settings with which it started."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    loop = Loop.objects.filter(project=project).first() or Loop(project=project)
    merged = {**loop.settings, **settings}
    parsed = parse_settings(merged)
    before = parse_settings(loop.settings) if not loop._state.adding else None
    turned_on = enabled is True and not (loop.enabled and before)
    if before is None or turned_on or _schedule(before) != _schedule(parsed):
        # Scheduled times before this moment don't count as missed.
        loop.scheduled_until = timezone.now()
    loop.settings = {name: parsed.model_dump(mode="json")[name] for name in merged}
    if enabled is not None:
        loop.enabled = enabled
    loop.save()
    return loop


def _schedule(settings: LoopSettings) -> tuple[object, ...]:
    return settings.schedule_time, settings.schedule_days, settings.time_zone


def turn_loops() -> None:
    """Advance the running rounds and start the rounds that are due. If a loop can't continue, the reason is
    logged and the other loops continue."""
    due = Q(enabled=True) | Q(rounds__state=Round.State.RUNNING)
    for loop in Loop.objects.filter(due).distinct().order_by("pk"):
        try:
            turn_loop(loop=loop)
        except Problem as problem:
            logger.warning("The loop of project %s can't continue: %s", loop.project_id, problem.detail)
        except Exception:
            logger.exception("The loop of project %s failed.", loop.project_id)


def turn_loop(*, loop: Loop, now: datetime | None = None) -> Round | None:
    """Advance the loop's running round, or start a round that is due, and return the round. Return None if
    no round is due. Of two concurrent calls, only one starts a round."""
    round = loop.rounds.filter(state=Round.State.RUNNING).first() or _start_if_due(
        loop, now or timezone.now()
    )
    return None if round is None else advance_round(round_id=round.pk)


@transaction.atomic
def _start_if_due(loop: Loop, now: datetime) -> Round | None:
    loop = Loop.objects.select_for_update(no_key=True).get(pk=loop.pk)
    if not loop.enabled or loop.project.state == Project.State.ARCHIVED:
        return None
    if loop.rounds.filter(state=Round.State.RUNNING).exists():
        return None
    settings = parse_settings(loop.settings)
    if used_up(loop, settings):
        return None
    tick = latest_tick(settings, now)
    missed = tick is not None and (loop.scheduled_until is None or tick > loop.scheduled_until)
    if missed:
        # However many times were missed, at most one round starts.
        Loop.objects.filter(pk=loop.pk).update(scheduled_until=now)
        if not has_new_comparisons(loop, 1):
            return skip_round(loop=loop, reason="There were no new comparisons at the scheduled time.")
    wanted = settings.min_new_comparisons
    if missed or (wanted is not None and has_new_comparisons(loop, wanted)):
        trigger = Trigger.SCHEDULE if missed else Trigger.COMPARISONS
        return start_round(loop=loop, trigger=trigger)
    return None


def turn_by_hand(*, loop: Loop, by: User | None) -> Round:
    """Start a round now. Raises Conflict and Problem as `start_round` does."""
    round = start_round(loop=loop, trigger=Trigger.MANUAL, by=by)
    return advance_round(round_id=round.pk)
