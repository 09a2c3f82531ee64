"""Review of tasks on which annotators disagree. A reviewer sees the annotators' answers to a task and makes
the final decision on the task.

A reviewer's hold on a task is an assignment with a state of its own. This assignment occupies no slot. Only
one reviewer holds a task at a time. A reviewer who has seen the annotators' answers to a task is never
assigned the task for annotation. An annotator who has ranked or leased a task already has an assignment on
the task and therefore can't review the task.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, models, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from psycopg import errors

from annotation.api.refusals import LeaseLost
from annotation.desk import reads
from annotation.desk.answers import Answer, problems_of
from annotation.desk.submission import refuse_archived, store_ranking
from annotation.forms.versions import form_of
from annotation.ids import uuid7
from annotation.models import Assignment, Project, Ranking, RankingTask, TaskAgreement, TaskResponse, User
from annotation.models.ranking import RankingQuerySet
from annotation.models.task import is_check
from annotation.oversight.agreement import refresh_agreement
from config.problems import Conflict, Problem

State = Assignment.State
MAX_LISTED = 100
# Maximum number of tasks to try, lowest agreement first, when other reviewers open tasks at the same time.
TRIED_AT_ONCE = 20
# States in which the reviewer has no annotation of their own on the task.
OPENABLE = (State.EXPIRED, State.RELEASED, State.SKIPPED, State.LOOKED_AT, State.REVIEWED)


class UnderReview(Conflict):
    type = "under-review"


class AnnotatedByYou(Conflict):
    type = "annotated-by-you"


@dataclass(frozen=True)
class Shown:
    """A reviewer's view of a task: the hold, the annotators' answers and the current decision, if any."""

    assignment: dict[str, Any]
    answers: list[Ranking]
    decision: Ranking | None


def waiting(*, project: Project, reviewer: User) -> models.QuerySet[TaskAgreement]:
    """The reviewer's queue, lowest agreement first. A task in the queue has at least two valid annotations
    and an agreement below the project's `review_below`. Checks, dropped tasks, tasks with a valid decision,
    and tasks that the reviewer has leased or ranked are not in the queue."""
    refresh_agreement(project=project)
    decided = Ranking.objects.counted().reviews().filter(task=OuterRef("task"))
    theirs = Assignment.objects.filter(task=OuterRef("task"), annotator=reviewer)
    return (
        TaskAgreement.objects.filter(
            ~Exists(decided),
            ~is_check("task"),
            ~Exists(theirs.exclude(state__in=[*OPENABLE, State.REVIEWING])),
            project=project,
            rankings__gte=2,
            agreement__lt=project.review_below,
        )
        .exclude(task__state=RankingTask.State.DROPPED)
        .order_by("agreement", "task_id")
    )


def decided(*, project: Project) -> RankingQuerySet:
    """Valid decisions, newest first."""
    return Ranking.objects.counted().reviews().filter(project=project).order_by("-id")


def with_holder(tasks: models.QuerySet[TaskAgreement]) -> models.QuerySet[TaskAgreement]:
    """Adds `held_by`: the name of the reviewer who has the task open."""
    return tasks.annotate(held_by=models.Subquery(_open_holds().values("annotator__username")[:1]))


def _open_holds() -> models.QuerySet[Assignment]:
    return Assignment.objects.filter(task=OuterRef("task"), state=State.REVIEWING, expires_at__gt=Now())


def open_next_review(*, project: Project, reviewer: User) -> Assignment | None:
    """Returns the task that the reviewer already has open, or else opens the free task with the lowest
    agreement. Returns None if no task is left."""
    mine = Assignment.objects.filter(project=project, annotator=reviewer, state=State.REVIEWING)
    if (held := mine.select_related("task").first()) is not None:
        return open_review(task=held.task, reviewer=reviewer)
    free = waiting(project=project, reviewer=reviewer).exclude(Exists(_open_holds()))
    for row in free.select_related("task__project")[:TRIED_AT_ONCE]:
        try:
            return open_review(task=row.task, reviewer=reviewer)
        except UnderReview:
            continue
    return None


def open_review(*, task: RankingTask, reviewer: User) -> Assignment:
    """Holds the task for the reviewer and releases the task that the reviewer held before. Tasks that already
    have a decision can be opened again.

    Raises UnderReview if another reviewer holds the task. Raises AnnotatedByYou if the reviewer has ranked or
    leased the task. Raises Conflict if the task has fewer than two valid annotations and no decision, because
    there is nothing to decide.
    """
    counted = Ranking.objects.counted().filter(task=task)
    if counted.annotations().with_order().count() < 2 and not counted.reviews().exists():
        raise Conflict(
            "There is nothing to decide: the task has fewer than two valid answers.", type="not-for-review"
        )
    try:
        with transaction.atomic():
            held = Assignment.objects.filter(state=State.REVIEWING)
            held.filter(task=task, expires_at__lte=Now()).exclude(annotator=reviewer).update(
                state=State.LOOKED_AT
            )
            held.filter(project=task.project_id, annotator=reviewer).exclude(task=task).update(
                state=State.LOOKED_AT
            )
            return _hold(task, reviewer)
    except IntegrityError as error:
        cause = error.__cause__
        name = cause.diag.constraint_name if isinstance(cause, errors.Error) else ""
        if name == "one_reviewer_at_a_time":
            raise UnderReview("Another reviewer has this task open. Open the next task.") from None
        if name in ("one_open_review", "task_once_per_annotator"):
            raise Conflict("Another tab opened a task at the same moment. Try again.") from None
        raise


def _hold(task: RankingTask, reviewer: User) -> Assignment:
    until = Now() + timedelta(seconds=task.project.lease_seconds)
    mine = Assignment.objects.filter(task=task, annotator=reviewer)
    renewed = mine.filter(state=State.REVIEWING, expires_at__gt=Now()).update(expires_at=until)
    fresh = {"state": State.REVIEWING, "token": uuid.uuid4(), "leased_at": Now(), "expires_at": until}
    if not renewed and not mine.filter(state__in=[*OPENABLE, State.REVIEWING]).update(**fresh):
        if mine.exists():
            raise AnnotatedByYou("You annotated this task, so another reviewer must make the decision.")
        order = TaskResponse.objects.filter(task=task).values_list("response", flat=True)
        Assignment.objects.create(
            id=uuid7(),
            task=task,
            project_id=task.project_id,
            annotator=reviewer,
            shown_order=sorted(order, key=lambda id: _shuffled(task.pk, reviewer.pk, id)),
            **fresh,
        )
    return mine.get(state=State.REVIEWING)


def _shuffled(*ids: UUID) -> bytes:
    """A sort key that shuffles a task's responses. The same task, reviewer and responses always give the same
    order."""
    return hashlib.sha256(b"".join(id.bytes for id in ids)).digest()


def shown_to_reviewer(*, assignment: Assignment) -> Shown:
    answers = Ranking.objects.counted().annotations().filter(task=assignment.task_id)
    decision = Ranking.objects.current().reviews().filter(task=assignment.task_id)
    return Shown(
        reads.shown([assignment])[0],
        list(answers.select_related("annotator").order_by("id")),
        decision.select_related("annotator").first(),
    )


def renew_review(*, task: RankingTask, reviewer: User, token: UUID) -> datetime:
    """Extends the hold and returns its new expiry. Raises LeaseLost if the reviewer no longer holds the
    task."""
    held = _held(task, reviewer, token)
    if held.update(expires_at=Now() + timedelta(seconds=task.project.lease_seconds)) != 1:
        raise LeaseLost("You no longer have this task open. Open the task again.")
    return Assignment.objects.get(task=task, annotator=reviewer, token=token).expires_at


def release_review(*, task: RankingTask, reviewer: User, token: UUID) -> None:
    """Releases the task without a decision. Raises LeaseLost if the reviewer no longer holds the task."""
    if _held(task, reviewer, token).update(state=State.LOOKED_AT) != 1:
        raise LeaseLost("You no longer have this task open, so it can't be released.")


def decide(
    *, task: RankingTask, reviewer: User, token: UUID, answer: Answer, source: str = Ranking.Source.API
) -> tuple[Ranking, bool]:
    """Writes the decision, which supersedes any previous decision, and ends the hold. Returns the decision
    and whether it is new. If the reviewer's current decision is the same, it is returned, and no new decision
    is written.

    Raises Problem with a reason for each invalid field. Raises LeaseLost if the hold has expired. Raises
    ProjectArchived if the project is archived.
    """
    refuse_archived(task.project)
    assignment = (
        Assignment.objects.select_related("form_version", "task")
        .filter(task=task, annotator=reviewer)
        .first()
    )
    if assignment is None:
        raise LeaseLost("You don't have this task open. Open the task first.")
    form = form_of(assignment.form_version)
    if wrong := problems_of(answer, form=form, shown=assignment.shown_order):
        raise Problem("The answer doesn't fit the task that was shown.", errors=wrong)
    with transaction.atomic():
        taken = _held(task, reviewer, token).update(
            state=State.REVIEWED, draft=None, draft_version=F("draft_version") + 1
        )
        current = Ranking.objects.current().reviews().filter(task=task).first()
        if current and current.annotator_id == reviewer.pk and answer.says_the_same_as(vars(current)):
            return current, False
        if taken != 1:
            raise LeaseLost("You no longer have this task open. Open the task again, then decide.")
        kind = Ranking.Kind.REVIEW
        return store_ranking(assignment, answer, source, supersedes=current, kind=kind), True


def _held(task: RankingTask, reviewer: User, token: UUID) -> models.QuerySet[Assignment]:
    return Assignment.objects.filter(
        Q(expires_at__gt=Now()), task=task, annotator=reviewer, state=State.REVIEWING, token=token
    )
