"""When a round is due: enough new comparisons, or a scheduled time."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import QuerySet, Sum

from annotation.models import Comparison
from training.loop.settings import DAYS, LoopSettings
from training.models import Loop, Round, TrainingRun

LONGEST_WAIT_DAYS = 8  # every schedule has a time within a week; one more day covers changes of the clock


def latest_tick(settings: LoopSettings, now: datetime) -> datetime | None:
    """Return the schedule's latest time that is not after `now`, or None without a schedule.

    If a change of the clock skips a local time, this time is moved forward by the length of the change. If a
    local time occurs twice, its first occurrence counts (PEP 495).
    """
    past = [tick for tick in _ticks_around(settings, now) if tick <= now]
    return past[-1] if past else None


def next_tick(settings: LoopSettings, now: datetime) -> datetime | None:
    """Return the schedule's next time after `now`, or None without a schedule."""
    return next((tick for tick in _ticks_around(settings, now) if tick > now), None)


def _ticks_around(settings: LoopSettings, now: datetime) -> list[datetime]:
    """The schedule's times in the days before and after `now`, in order and in UTC. Python compares two times
    in the same zone by their clock readings, so it would order them wrongly around a change of the clock."""
    if not settings.schedule_time:
        return []
    zone, at = ZoneInfo(settings.time_zone), time.fromisoformat(settings.schedule_time)
    today, wanted = now.astimezone(zone).date(), settings.schedule_days or DAYS
    days = (today + timedelta(days=n) for n in range(-LONGEST_WAIT_DAYS, LONGEST_WAIT_DAYS + 1))
    return [
        datetime.combine(day, at, tzinfo=zone).astimezone(UTC)
        for day in days
        if DAYS[day.weekday()] in wanted
    ]


def new_comparisons(loop: Loop) -> int:
    """The number of comparisons made since the loop's newest round that froze a snapshot, or of all
    comparisons if no round has frozen one."""
    return _new(loop).count()


def has_new_comparisons(loop: Loop, number: int) -> bool:
    """Whether there are at least this many new comparisons. Reads at most this many, because the loop checks
    every few seconds, and counting 600,000 comparisons takes 0.6 s."""
    return _new(loop)[:number].count() >= number


def _new(loop: Loop) -> QuerySet[Comparison]:
    comparisons = Comparison.objects.counted().filter(project=loop.project_id)
    used = loop.rounds.filter(snapshot__isnull=False).order_by("-number").first()
    if used is not None and used.snapshot is not None:
        comparisons = comparisons.filter(ranking__created_at__gt=used.snapshot.created_at)
    return comparisons


def used_up(loop: Loop, settings: LoopSettings) -> str:
    """If one of the loop's budgets is used up, return a sentence about it; otherwise, an empty string."""
    rounds = loop.rounds.exclude(state=Round.State.SKIPPED).count()
    if settings.max_rounds is not None and rounds >= settings.max_rounds:
        budget = f"{settings.max_rounds} {'round' if settings.max_rounds == 1 else 'rounds'}"
        return f"The budget of {budget} is used up. Raise max_rounds to continue."
    if settings.max_gpu_hours is None and settings.max_price is None:
        return ""
    hours = gpu_hours(loop)
    if settings.max_gpu_hours is not None and hours >= settings.max_gpu_hours:
        return (
            f"The budget of {settings.max_gpu_hours:g} hours of training is used up ({hours:.1f} hours). "
            "Raise max_gpu_hours to continue."
        )
    price = hours * (settings.price_per_hour or 0.0)
    if settings.max_price is not None and price >= settings.max_price:
        return (
            f"The budget of {settings.max_price:g} is used up (price of training: {price:.2f}). Raise "
            "max_price to continue."
        )
    return ""


def gpu_hours(loop: Loop) -> float:
    """The total time, in hours, that the runs of the loop's rounds have taken."""
    runs = TrainingRun.objects.filter(round_step__round__loop=loop)
    return (runs.aggregate(seconds=Sum("spent_seconds"))["seconds"] or 0.0) / 3600
