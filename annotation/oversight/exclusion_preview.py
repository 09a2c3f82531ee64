"""Previews the effects of an exclusion, or of lifting an exclusion, before the change is made."""

from __future__ import annotations

from dataclasses import dataclass

from annotation.models import (
    Assignment,
    Comparison,
    DatasetSnapshot,
    Exclusion,
    Project,
    Ranking,
    RankingTask,
)
from annotation.oversight.exclusion import Who, answers_with_slots, excluded_answers, tasks_filled_by_others


@dataclass(frozen=True)
class Effect:
    """The changes that an exclusion would make."""

    rankings: int
    comparisons: int
    reviews: int
    tasks_reopening: int
    leases: int
    snapshots: int


@dataclass(frozen=True)
class EffectOfLifting:
    """The changes that lifting the exclusion would make. `tasks_with_more_overlap` counts the tasks whose
    overlap would grow by one."""

    rankings: int
    comparisons: int
    reviews: int
    tasks_with_more_overlap: int


def effect_of_excluding(*, project: Project, who: Who) -> Effect:
    """Counts the changes an exclusion would make. Snapshots never change; `snapshots` counts the snapshots
    that can contain the annotator's rankings."""
    counting = Ranking.objects.counted().filter(who.rankings, project=project)
    held = Assignment.objects.filter(project=project, annotator=who.annotator) if who.annotator else None
    first = Ranking.objects.filter(who.rankings, project=project).order_by("created_at").first()
    return Effect(
        rankings=counting.annotations().count(),
        comparisons=Comparison.objects.filter(ranking__in=counting).count(),
        reviews=counting.reviews().count(),
        tasks_reopening=0
        if held is None or project.state == Project.State.ARCHIVED
        else held.filter(answers_with_slots(), task__state=RankingTask.State.DONE).count(),
        leases=0
        if held is None
        else held.filter(state__in=[Assignment.State.LEASED, Assignment.State.REVIEWING]).count(),
        snapshots=0
        if first is None
        else DatasetSnapshot.objects.filter(project=project, created_at__gte=first.created_at).count(),
    )


def effect_of_lifting(*, exclusion: Exclusion) -> EffectOfLifting:
    """Counts the changes that lifting the exclusion would make; all counts are 0 if the exclusion is already
    lifted."""
    project = exclusion.project
    if exclusion.lifted_at is not None:
        return EffectOfLifting(0, 0, 0, 0)
    who = Who(annotator=exclusion.annotator, label=exclusion.annotator_label)
    standing = Ranking.objects.current().filter(who.rankings, project=project)
    return EffectOfLifting(
        rankings=standing.annotations().count(),
        comparisons=Comparison.objects.filter(ranking__in=standing).count(),
        reviews=standing.reviews().count(),
        tasks_with_more_overlap=0
        if exclusion.annotator_id is None
        else tasks_filled_by_others(excluded_answers(project, exclusion.annotator_id)).count(),
    )
