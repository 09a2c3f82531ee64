"""Exclusion of an annotator: their rankings are kept but no longer count, and the exclusion can be lifted.

Excluded answers release their slots, so the tasks are served again. When the exclusion is lifted, these
answers take their slots back. If another annotator has filled a slot in the meantime, a trigger raises the
task's overlap (models/sql/assignment.sql).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from psycopg import errors

from annotation.database.sql import Lock, acquire, retry_deadlocks
from annotation.models import (
    Assignment,
    Exclusion,
    Membership,
    Project,
    Ranking,
    RankingTask,
    User,
)
from annotation.models.task import AssignmentQuerySet, RankingTaskQuerySet, is_check
from config.problems import Conflict, FieldProblem, Problem

State = Assignment.State
PAUSED_REASON = "Your answers were excluded from this project. Ask a manager why."


@dataclass(frozen=True, kw_only=True)
class Who:
    """An annotator: an account, or a name from an imported file."""

    annotator: User | None = None
    label: str = ""

    def __str__(self) -> str:
        return self.annotator.username if self.annotator else self.label

    @property
    def rankings(self) -> Q:
        if self.annotator is not None:
            return Q(annotator=self.annotator)
        return Q(annotator=None, annotator_label=self.label)


@dataclass(frozen=True)
class Lifted:
    exclusion: Exclusion
    tasks_with_more_overlap: int


def who_is(*, project: Project, username: str = "", label: str = "") -> Who:
    """Finds the annotator by exactly one of `username` and `label`. Raises Problem when the project has no
    such annotator."""
    if bool(username) == bool(label):
        reason = "Send either a username or a name from an imported file, but not both."
        raise Problem(
            "Name one annotator.",
            errors=[FieldProblem(name, reason) for name in ("username", "annotator_label")],
        )
    if label:
        if not Ranking.objects.filter(Who(label=label).rankings, project=project).exists():
            reason = "No imported ranking of this project has this annotator name."
            raise Problem(
                f"{label!r} is unknown in this project.", errors=[FieldProblem("annotator_label", reason)]
            )
        return Who(label=label)
    known = Q(memberships__project=project) | Q(rankings__project=project)
    user = User.objects.filter(known, username=username).distinct().first()
    if user is None:
        reason = "No user with this name is a member of this project or has ranked its tasks."
        raise Problem(f"{username!r} is unknown in this project.", errors=[FieldProblem("username", reason)])
    return Who(annotator=user)


@retry_deadlocks
@transaction.atomic
def exclude_annotator(*, project: Project, who: Who, reason: str, by: User | None = None) -> Exclusion:
    """Excludes the annotator, pauses their membership and ends their leases.

    Raises Problem if the reason is missing or `by` is the annotator. Raises Conflict if the annotator is
    already excluded. In an archived project, the tasks stay done, because nobody can answer them.
    """
    if not reason.strip():
        raise Problem(
            "Give a reason.",
            errors=[FieldProblem("reason", "A reason is required; it is stored with the exclusion.")],
        )
    if by is not None and by == who.annotator:
        raise Problem("You can't exclude yourself; ask another manager.", type="excludes-oneself")
    _lock(project, who)
    try:
        with transaction.atomic():
            exclusion = Exclusion.objects.create(
                project=project,
                annotator=who.annotator,
                annotator_label=who.label,
                reason=reason,
                created_by=by,
            )
    except IntegrityError as error:
        if not isinstance(error.__cause__, errors.UniqueViolation):
            raise
        raise Conflict(
            f"{who} is already excluded; lift that exclusion first.", type="already-excluded"
        ) from None
    if who.annotator is not None:
        _take_out(exclusion, who.annotator)
    return exclusion


@retry_deadlocks
@transaction.atomic
def lift_exclusion(*, exclusion: Exclusion, by: User | None = None) -> Lifted:
    """Lifts the exclusion: the annotator's rankings count again, and their membership resumes if the
    exclusion paused it. Raises Conflict if the exclusion is already lifted, or if an affected task already
    has the maximum overlap.

    Slots that others have filled stay filled: the overlap of each affected task grows by one.
    """
    _lock(exclusion.project, Who(annotator=exclusion.annotator, label=exclusion.annotator_label))
    standing = Exclusion.objects.standing().filter(pk=exclusion.pk)
    if standing.update(lifted_at=timezone.now(), lifted_by=by) != 1:
        raise Conflict("This exclusion has already been lifted.", type="already-lifted")
    grown = 0 if exclusion.annotator_id is None else _put_back(exclusion.project, exclusion.annotator_id)
    if exclusion.paused:
        Membership.objects.filter(
            project=exclusion.project, user=exclusion.annotator, paused_reason=PAUSED_REASON
        ).update(state=Membership.State.ACTIVE, paused_reason="")
    exclusion.refresh_from_db()
    return Lifted(exclusion, grown)


@transaction.atomic
def ask_again(*, project: Project) -> None:
    """Opens the slots of excluded answers when an archived project is reactivated. An exclusion in an
    archived project leaves the tasks done, so the slots are still closed."""
    excluded = Exclusion.objects.standing().filter(project=project, annotator__isnull=False)
    answers = Assignment.objects.filter(
        answers_with_slots(), project=project, annotator__in=excluded.values("annotator")
    )
    ids = list(
        answers.order_by("pk").select_for_update(no_key=True, of=["self"]).values_list("pk", flat=True)
    )
    _lock_tasks(Assignment.objects.filter(pk__in=ids).values("task"))
    Assignment.objects.filter(pk__in=ids).update(state=State.EXCLUDED)


def answers_with_slots() -> Q:
    """Matches answers that occupy a slot. Answers to checks (gold, attention, qualification) occupy no slot,
    so an exclusion leaves these answers submitted."""
    return Q(~is_check("task"), state=State.SUBMITTED)


def _take_out(exclusion: Exclusion, annotator: User) -> None:
    project = exclusion.project
    theirs = Assignment.objects.filter(project=project, annotator=annotator)
    # Lock the annotator's assignments first: a concurrent submission either finishes before the exclusion or
    # loses its lease. Then lock the tasks in ID order.
    held = theirs.filter(state__in=[State.LEASED, State.SUBMITTED, State.REVIEWING])
    list(held.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    answers = theirs.filter(answers_with_slots())
    _lock_tasks(answers.values("task"))
    theirs.filter(state=State.LEASED).update(state=State.RELEASED)
    theirs.filter(state=State.REVIEWING).update(state=State.LOOKED_AT)
    if project.state != Project.State.ARCHIVED:
        theirs.filter(pk__in=answers.values("pk")).update(state=State.EXCLUDED)
    paused = Membership.objects.active().filter(project=project, user=annotator)
    if paused.update(state=Membership.State.PAUSED, paused_reason=PAUSED_REASON):
        Exclusion.objects.filter(pk=exclusion.pk).update(paused=True)
        exclusion.paused = True


def _put_back(project: Project, annotator: UUID) -> int:
    """Restores the slots of the excluded answers. Returns the number of tasks whose overlap grew. Raises
    Conflict if a task already has the maximum overlap."""
    theirs = excluded_answers(project, annotator)
    _lock_tasks(theirs.values("task"))
    full = tasks_filled_by_others(theirs).count()
    try:
        with transaction.atomic():
            theirs.update(state=State.SUBMITTED)
    except IntegrityError as error:
        if "task_overlap_in_bounds" not in str(error):
            raise
        raise Conflict(
            "A task already has the maximum number of answers, so the excluded answer can't be restored.",
            type="no-room",
        ) from None
    return full


def excluded_answers(project: Project, annotator: UUID) -> AssignmentQuerySet:
    """The annotator's answers whose slots were released by an exclusion."""
    return Assignment.objects.filter(project=project, annotator=annotator, state=State.EXCLUDED)


def tasks_filled_by_others(answers: AssignmentQuerySet) -> RankingTaskQuerySet:
    """The tasks of `answers` that have no open slot. Other annotators have filled the released slots of these
    tasks."""
    return RankingTask.objects.asked().filter(pk__in=answers.values("task"), open_slots=0)


def _lock_tasks(ids: object) -> None:
    """Locks the tasks in ID order, so that two transactions that lock many tasks don't deadlock."""
    tasks = RankingTask.objects.filter(pk__in=ids).order_by("pk")
    list(tasks.select_for_update(no_key=True).values_list("pk"))


def _lock(project: Project, who: Who) -> None:
    """Blocks claims by the annotator and other changes to the annotator's exclusion (see
    `Lock.EXCLUSION`)."""
    if who.annotator is not None:
        acquire(Lock.DESK.of(project.pk, who.annotator.pk), Lock.EXCLUSION.of(project.pk, who.annotator.pk))
    else:
        acquire(Lock.EXCLUSION.of(project.pk, f"label:{who.label}"))
