"""What a loop is waiting for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from annotation.models import Project
from training.loop.settings import parse_settings
from training.loop.triggers import gpu_hours, new_comparisons, next_tick, used_up
from training.models import Loop, Round


@dataclass(frozen=True)
class LoopStatus:
    new_comparisons: int
    next_scheduled_at: datetime | None
    running_round: int | None
    blocked_by: str
    gpu_hours: float


def status_of(loop: Loop) -> LoopStatus:
    settings = parse_settings(loop.settings)
    running = loop.rounds.filter(state=Round.State.RUNNING).first()
    archived = loop.project.state == Project.State.ARCHIVED
    return LoopStatus(
        new_comparisons=new_comparisons(loop),
        next_scheduled_at=next_tick(settings, timezone.now()) if loop.enabled else None,
        running_round=running.number if running else None,
        blocked_by="The project is archived." if archived else used_up(loop, settings),
        gpu_hours=gpu_hours(loop),
    )
