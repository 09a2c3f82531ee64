"""Filters for the lists of a project's tasks and rankings.

Each function returns an unordered QuerySet for keyset pagination. A condition that few rows meet has its own
index (in models/task.py, ranking.py and content.py). A condition that many rows meet is checked during the
scan of the page's index.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict

from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    Exists,
    F,
    Func,
    IntegerField,
    JSONField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    TextField,
    Value,
    When,
)
from django.db.models.fields.json import KeyTextTransform, KeyTransform
from django.db.models.functions import Cast, Coalesce, Left

from annotation.models import Project, Prompt, Ranking, RankingTask, Response, TaskResponse, User
from annotation.models.exclusion import not_excluded
from annotation.oversight.agreement import refresh_agreement

EXCERPT_CHARACTERS = 200
# Filters whose evaluation takes seconds in a large project: the first searches the text of all prompts, and
# the second computes the agreement of tasks that have changed.
SLOW = frozenset({"says", "agreement_below"})


class TasksSought(TypedDict, total=False):
    """Filter conditions. A missing value or None means no condition."""

    kind: str | None
    state: str | None
    reserved: bool | None
    round: int | None
    model: str | None
    agreement_below: float | None
    has: str | None
    says: str | None
    annotator: str | None
    after: datetime | None
    before: datetime | None


class RankingsSought(TypedDict, total=False):
    kind: str | None
    source: str | None
    task_kind: str | None
    round: int | None
    model: str | None
    agreement_below: float | None
    has: str | None
    says: str | None
    annotator: str | None
    after: datetime | None
    before: datetime | None


# Optional parts of a ranking.
CARRIES = {"comment": ~Q(comment=""), "flags": ~Q(flags={}), "rewrite": Q(rewrite__isnull=False)}


def tasks_sought(*, project: Project, sought: TasksSought) -> QuerySet[RankingTask]:
    """The project's tasks, each with `excerpt`, `agreed` and `n_rankings`. `agreed` is None if a task has
    fewer than two annotators.

    The same current ranking must match both `annotator` and `has`.
    """
    rows: QuerySet[RankingTask] = RankingTask.objects.filter(project=project)
    for field in ("kind", "state", "reserved", "round"):
        if (value := sought.get(field)) is not None:
            rows = rows.filter(**{field: value})
    rows = _born(rows, sought)
    rows = rows.filter(_of_task(project, sought, path=""))
    if sought.get("annotator") or sought.get("has"):
        standing = Ranking.objects.current().filter(_ranking_says(sought), project=project)
        rows = rows.filter(Exists(standing.filter(task=OuterRef("pk"))))
    return rows.annotate(
        excerpt=_excerpt("prompt__messages"),
        agreed=F("agreement__agreement"),
        n_rankings=_counted(
            Ranking.objects.counted().with_order().annotations().filter(task=OuterRef("pk")).values("task")
        ),
    )


def rankings_sought(*, project: Project, sought: RankingsSought) -> QuerySet[Ranking]:
    """The project's current rankings, each with `who`, `counts`, `excerpt` and the task's `agreed`."""
    rows: QuerySet[Ranking] = Ranking.objects.current().filter(_ranking_says(sought), project=project)
    for field, column in (("kind", "kind"), ("source", "source"), ("task_kind", "task__kind")):
        if (value := sought.get(field)) is not None:
            rows = rows.filter(**{column: value})
    if (round := sought.get("round")) is not None:
        rows = rows.filter(task__round=round)
    rows = _born(rows, sought)
    return with_who(rows.filter(_of_task(project, sought, path="task__"))).annotate(
        excerpt=_excerpt("task__prompt__messages"), agreed=F("task__agreement__agreement")
    )


def rankings_of_task(*, task: RankingTask) -> QuerySet[Ranking]:
    """All rankings of the task, including revised ones (`superseded`)."""
    later = Ranking.objects.filter(supersedes=OuterRef("pk"))
    return with_who(Ranking.objects.filter(task=task)).annotate(superseded=Exists(later))


def with_who(rows: QuerySet[Ranking]) -> QuerySet[Ranking]:
    """Adds `who` (the author) and `counts` (whether the author is not excluded)."""
    kept = not_excluded(project="project", annotator="annotator", label="annotator_label")
    return rows.annotate(
        who=Coalesce("annotator__username", "annotator_label"),
        counts=Case(When(kept, then=True), default=False, output_field=BooleanField()),
    )


def _born(rows: QuerySet[Any], sought: Mapping[str, Any]) -> QuerySet[Any]:
    if (after := sought.get("after")) is not None:
        rows = rows.filter(created_at__gte=after)
    if (before := sought.get("before")) is not None:
        rows = rows.filter(created_at__lt=before)
    return rows


def _of_task(project: Project, sought: Mapping[str, Any], *, path: str) -> Q:
    """Conditions on the task that the query reaches through `path`. If `path` is empty, the row itself is the
    task."""
    wanted = Q()
    if (below := sought.get("agreement_below")) is not None:
        refresh_agreement(project=project)
        wanted &= Q(**{f"{path}agreement__agreement__lt": below})
    if model := sought.get("model"):
        shown = TaskResponse.objects.filter(task=OuterRef(OuterRef(f"{path}pk")), response=OuterRef("pk"))
        by_model = Response.objects.filter(Exists(shown), model_name=model)
        wanted &= Q(Exists(by_model.filter(prompt=OuterRef(f"{path}prompt"))))
    if words := sought.get("says"):
        wanted &= Q(**{f"{path}prompt__in": prompts_that_say(project=project, words=words)})
    return wanted


def _ranking_says(sought: Mapping[str, Any]) -> Q:
    wanted = CARRIES[has] if (has := sought.get("has")) else Q()
    if name := sought.get("annotator"):
        user = User.objects.filter(username=name).first()
        wanted &= Q(annotator=user) if user else Q(annotator=None, annotator_label=name)
    return wanted


def prompts_that_say(*, project: Project, words: str) -> QuerySet[Prompt]:
    """Prompts that contain the text `words` in any turn, ignoring case."""
    turns: Any = Func(
        F("messages"), Value("$[*].content"), function="jsonb_path_query_array", output_field=JSONField()
    )
    # The text is escaped as in the stored JSON, where a quote or a line break takes two characters.
    spelled = json.dumps(words, ensure_ascii=False)[1:-1]
    rows = Prompt.objects.filter(project=project).annotate(turns=Cast(turns, TextField()))
    return rows.filter(turns__icontains=spelled)


def _excerpt(messages: str) -> Left:
    """The start of the prompt's last turn, to which the responses reply."""
    last = KeyTransform("-1", messages)
    return Left(
        Coalesce(KeyTextTransform("content", last), Value(""), output_field=CharField()), EXCERPT_CHARACTERS
    )


def _counted(grouped: QuerySet[Any, Any]) -> Coalesce:
    n = grouped.order_by().annotate(n=Count("pk")).values("n")
    return Coalesce(Subquery(n, output_field=IntegerField()), 0)
