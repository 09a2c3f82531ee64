"""What managers look at: how far the work is, whether people agree, which model is preferred."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from django.db.models import Aggregate, Count, FloatField, Q, QuerySet
from django.db.models.functions import Coalesce, TruncDate

from annotation.models import Comparison, Project, Ranking, RankingTask
from annotation.statistics.agreement import raw_agreement
from annotation.statistics.bradley_terry import fit_with_intervals

# Half a virtual win and loss: keeps a model that won everything on the board, and moves others by little.
LEADERBOARD_PRIOR = 0.5
# An imported file can name thousands of annotators; the page shows the busiest.
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


@dataclass(frozen=True)
class AnnotatorAgreement:
    username: str
    agreement: float | None
    n_pairs: int


@dataclass(frozen=True)
class Quality:
    pairwise_agreement: float | None
    n_pairs: int
    annotators: list[AnnotatorAgreement]


@dataclass(frozen=True)
class Standing:
    model: str
    wins: int
    losses: int
    ties: int
    strength: float
    low: float
    high: float


def progress(*, project: Project) -> Progress:
    """Counts of tasks, and of rankings that count, in all, per day (UTC) and per person."""
    tasks = RankingTask.objects.filter(project=project).aggregate(
        tasks=Count("pk"),
        open=Count("pk", filter=Q(state=RankingTask.State.OPEN)),
        done=Count("pk", filter=Q(state=RankingTask.State.DONE)),
    )
    rankings = Ranking.objects.counted().filter(project=project)
    days = rankings.annotate(day=TruncDate("created_at")).values("day").order_by("day")
    people = (
        _by_annotator(rankings).annotate(n=Count("pk"), median=Median("duration_ms")).order_by("-n", "who")
    )
    return Progress(
        **tasks,
        rankings=rankings.count(),
        comparisons=Comparison.objects.counted().filter(project=project).count(),
        per_day=[DayCount(day, n) for day, n in days.annotate(n=Count("pk")).values_list("day", "n")],
        annotators=[
            AnnotatorProgress(who or "", n, None if median is None else median / 1000)
            for who, n, median in people.values_list("who", "n", "median")[:MAX_ANNOTATORS]
        ],
    )


def quality(*, project: Project) -> Quality:
    """Raw agreement on the pairs of responses that two or more people ranked. Imported votes without a name
    are left out: nothing says whose they are."""
    named = (
        Ranking.objects.counted()
        .annotations()
        .filter(project=project)
        .exclude(annotator=None, annotator_label="")
    )
    shared = named.values("task").annotate(n=Count("pk")).filter(n__gt=1)
    rows = (
        Comparison.objects.filter(ranking__in=named.filter(task__in=shared.values("task")))
        .annotate(who=Coalesce("ranking__annotator__username", "ranking__annotator_label"))
        .values_list("ranking__task", "preferred", "other", "is_tie", "who")
    )
    items: dict[Any, int] = {}
    people: dict[str, int] = {}
    votes: dict[tuple[int, int], int] = {}
    for task, one, two, is_tie, who in rows.iterator():
        item = items.setdefault((task, min(one, two), max(one, two)), len(items))
        person = people.setdefault(who, len(people))
        votes[item, person] = 0 if is_tie else (1 if one < two else -1)
    item_of, person_of = np.array(list(votes), dtype=np.int64).reshape(-1, 2).T
    found = raw_agreement(item_of, person_of, list(votes.values()))
    by_name = zip(people, found.by_annotator, found.n_by_annotator, strict=True)
    annotators = [AnnotatorAgreement(name, _number(share), int(n)) for name, share, n in by_name if n]
    annotators.sort(key=lambda row: (-row.n_pairs, row.username))
    return Quality(_number(found.agreement), found.n_pairs, annotators[:MAX_ANNOTATORS])


def leaderboard(*, project: Project) -> list[Standing]:
    """Named models by Bradley–Terry strength, best first, with 95 % bootstrap intervals."""
    between = Comparison.objects.counted().filter(project=project).exclude(preferred__model_name="")
    cells = list(
        between.exclude(other__model_name="")
        .values_list("preferred__model_name", "other__model_name", "is_tie")
        .annotate(n=Count("pk"))
        .order_by()
    )
    names = sorted({name for one, two, *_ in cells if one != two for name in (one, two)})
    place = {name: index for index, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)), dtype=np.int64)
    ties = np.zeros_like(wins)
    for one, two, is_tie, n in cells:
        if one != two and is_tie:
            ties[place[one], place[two]] += n
            ties[place[two], place[one]] += n
        elif one != two:
            wins[place[one], place[two]] += n
    if not names:
        return []
    fitted = fit_with_intervals(wins, ties, prior=LEADERBOARD_PRIOR)
    return [
        Standing(
            model=names[i],
            wins=int(wins[i].sum()),
            losses=int(wins[:, i].sum()),
            ties=int(ties[i].sum()),
            strength=float(fitted.strength[i]),
            low=float(fitted.low[i]),
            high=float(fitted.high[i]),
        )
        for i in np.argsort(-fitted.strength, kind="stable")
    ]


def _by_annotator(rankings: QuerySet[Ranking]) -> QuerySet[Ranking, dict[str, Any]]:
    return rankings.annotate(who=Coalesce("annotator__username", "annotator_label")).values("who")


def _number(value: float) -> float | None:
    """JSON has no NaN: nothing to divide by is null."""
    return None if math.isnan(value) else float(value)
