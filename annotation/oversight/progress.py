"""A project's progress. Agreement is in `quality`; preferences between models are in `leaderboard`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Aggregate, Count, FloatField, Q, QuerySet
from django.db.models.functions import Coalesce, TruncDate

from annotation.models import Comparison, Project, Ranking, RankingTask

# An imported file can name thousands of annotators; only the most active annotators are shown.
MAX_ANNOTATORS = 200


class Median(Aggregate):
    function = "percentile_cont"
    template = "%(function)s(0.5) WITHIN GROUP (ORDER BY %(expressions)s)"
    output_field = FloatField()


@dataclass(frozen=True)
class DayCount:
    date: date
    rankings: int


@dataclass(frozen=True)
class AnnotatorProgress:
    username: str
    rankings: int
    median_seconds: float | None


@dataclass(frozen=True)
class Progress:
    tasks: int
    open: int
    done: int
    rankings: int
    comparisons: int
    per_day: list[DayCount]
    annotators: list[AnnotatorProgress]


def progress(*, project: Project) -> Progress:
    """Counts the project's tasks. Also counts the project's valid rankings with an order: in total, per day
    (UTC) and per annotator."""
    tasks = (
        RankingTask.objects.asked()
        .filter(project=project)
        .aggregate(
            tasks=Count("pk"),
            open=Count("pk", filter=Q(state=RankingTask.State.OPEN)),
            done=Count("pk", filter=Q(state=RankingTask.State.DONE)),
        )
    )
    rankings = Ranking.objects.counted().with_order().filter(project=project)
    days = rankings.annotate(day=TruncDate("created_at")).values("day").order_by("day")
    per_day = [DayCount(day, n) for day, n in days.annotate(n=Count("pk")).values_list("day", "n")]
    people = (
        _by_annotator(rankings).annotate(n=Count("pk"), median=Median("duration_ms")).order_by("-n", "who")
    )
    return Progress(
        **tasks,
        rankings=sum(day.rankings for day in per_day),
        comparisons=_comparisons(project),
        per_day=per_day,
        annotators=[
            AnnotatorProgress(who or "", n, None if median is None else median / 1000)
            for who, n, median in people.values_list("who", "n", "median")[:MAX_ANNOTATORS]
        ],
    )


def _comparisons(project: Project) -> int:
    of_project = Comparison.objects.filter(project=project)
    return of_project.count() - sum(part.count() for part in of_project.uncounted())


def _by_annotator(rankings: QuerySet[Ranking]) -> QuerySet[Ranking, dict[str, Any]]:
    return rankings.annotate(who=Coalesce("annotator__username", "annotator_label")).values("who")
