"""Counts of a project's contents. This module is separate from `project`, because the counted models import
`project`, and importing them there would create a circular import."""

from __future__ import annotations

from functools import reduce
from operator import sub

from django.db.models import Count, Model, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from annotation.models.content import Prompt, Response
from annotation.models.people import User
from annotation.models.project import ProjectQuerySet
from annotation.models.ranking import Comparison, Ranking
from annotation.models.task import RankingTask
from annotation.models.task_problem import TaskProblem


def with_counts(projects: ProjectQuerySet, user: User) -> ProjectQuerySet:
    """Adds n_prompts, n_responses, n_tasks, n_open_tasks, n_rankings, n_comparisons, n_my_rankings and
    n_open_problems."""
    return projects.annotate(
        n_prompts=_count(Prompt.objects.all()),
        n_responses=_count(Response.objects.all(), "prompt__project"),
        n_tasks=_count(RankingTask.objects.asked()),
        n_open_tasks=_count(RankingTask.objects.asked().open()),
        n_rankings=_count(Ranking.objects.counted()),
        n_comparisons=reduce(
            sub, map(_count, Comparison.objects.uncounted()), _count(Comparison.objects.all())
        ),
        n_my_rankings=_count(Ranking.objects.current().of(user)),
        n_open_problems=_count(TaskProblem.objects.unsettled()),
    )


def _count(rows: QuerySet[Model], project: str = "project") -> Coalesce:
    # One grouped subquery per counted table: a join of several tables would multiply the rows of each table.
    grouped = rows.filter(**{project: OuterRef("pk")}).order_by().values(project)
    return Coalesce(Subquery(grouped.annotate(n=Count("*")).values("n")), 0)
