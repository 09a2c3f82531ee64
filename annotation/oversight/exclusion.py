"""Leaving out an annotator: nothing of theirs is deleted, nothing of it counts, and all of it can be undone.

Their answers give their slots back, so the tasks are asked again; lifted, the answers take them again, and
where somebody else has filled one meanwhile the task's overlap grows (triggers in models/sql/assignment.sql).
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
    Comparison,
    DatasetSnapshot,
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
PAUSED_REASON = "Your answers were excluded from this project. Ask its manager why."


@dataclass(frozen=True, kw_only=True)
class Who:
    """An account, or a name from an imported file."""

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
class Effect:
    """What excluding somebody would change, or did."""

    rankings: int
    comparisons: int
    reviews: int
    tasks_reopening: int
    leases: int
    snapshots: int


@dataclass(frozen=True)
class EffectOfLifting:
    """What would count again, and the tasks that would want one answer more than they did."""

    rankings: int
    comparisons: int
    reviews: int
    tasks_with_more_overlap: int


@dataclass(frozen=True)
class Lifted:
    exclusion: Exclusion
    tasks_with_more_overlap: int


def who_is(*, project: Project, username: str = "", label: str = "") -> Who:
    """Exactly one of the two. Raises Problem when nobody of that name has anything to do with the project."""
    if bool(username) == bool(label):
        reason = "Name either an account or a name from an imported file."
        raise Problem(
            "Who is meant?", errors=[FieldProblem(name, reason) for name in ("username", "annotator_label")]
        )
    if label:
        if not Ranking.objects.filter(Who(label=label).rankings, project=project).exists():
            reason = "No imported ranking of this project is by this name."
            raise Problem(f"There is no {label!r} here.", errors=[FieldProblem("annotator_label", reason)])
        return Who(label=label)
    known = Q(memberships__project=project) | Q(rankings__project=project)
    user = User.objects.filter(known, username=username).distinct().first()
    if user is None:
        reason = "No member of this project has this name, and nobody of this name ranked here."
        raise Problem(f"There is no {username!r} here.", errors=[FieldProblem("username", reason)])
    return Who(annotator=user)


def effect_of_excluding(*, project: Project, who: Who) -> Effect:
    """In numbers, before it is done. Snapshots stay as they are; those counted may hold some of theirs."""
    counting = Ranking.objects.counted().filter(who.rankings, project=project)
    held = Assignment.objects.filter(project=project, annotator=who.annotator) if who.annotator else None
    first = Ranking.objects.filter(who.rankings, project=project).order_by("created_at").first()
    return Effect(
        rankings=counting.annotations().count(),
        comparisons=Comparison.objects.filter(ranking__in=counting).count(),
        reviews=counting.reviews().count(),
        tasks_reopening=0
        if held is None or project.state == Project.State.ARCHIVED
        else held.filter(_answers_with_slots(), task__state=RankingTask.State.DONE).count(),
        leases=0 if held is None else held.filter(state__in=[State.LEASED, State.REVIEWING]).count(),
        snapshots=0
        if first is None
        else DatasetSnapshot.objects.filter(project=project, created_at__gte=first.created_at).count(),
    )


def effect_of_lifting(*, exclusion: Exclusion) -> EffectOfLifting:
    """In numbers, before it is done. All 0 when it was lifted before."""
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
        else _full(_put_aside(project, exclusion.annotator_id)).count(),
    )


@retry_deadlocks
@transaction.atomic
def exclude_annotator(*, project: Project, who: Who, reason: str, by: User | None = None) -> Exclusion:
    """From now on nothing of theirs counts; they are paused and give back what they hold.

    Raises Problem without a reason or for oneself, Conflict when it is done already. An archived project's
    tasks stay as they are: nobody would be asked again.
    """
    if not reason.strip():
        raise Problem("Say why.", errors=[FieldProblem("reason", "A reason is needed: this is history.")])
    if by is not None and by == who.annotator:
        raise Problem("Nobody excludes themselves; ask another manager.", type="excludes-oneself")
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
        raise Conflict(f"{who} is excluded already; lift that first.", type="already-excluded") from None
    if who.annotator is not None:
        _take_out(exclusion, who.annotator)
    return exclusion


@retry_deadlocks
@transaction.atomic
def lift_exclusion(*, exclusion: Exclusion, by: User | None = None) -> Lifted:
    """Everything counts again, and the membership is as it was. Raises Conflict when it was lifted before.

    Slots that were filled meanwhile stay filled: those tasks want one answer more than they did.
    """
    _lock(exclusion.project, Who(annotator=exclusion.annotator, label=exclusion.annotator_label))
    standing = Exclusion.objects.standing().filter(pk=exclusion.pk)
    if standing.update(lifted_at=timezone.now(), lifted_by=by) != 1:
        raise Conflict("This exclusion was lifted before.", type="already-lifted")
    grown = 0 if exclusion.annotator_id is None else _put_back(exclusion.project, exclusion.annotator_id)
    if exclusion.paused:
        Membership.objects.filter(
            project=exclusion.project, user=exclusion.annotator, paused_reason=PAUSED_REASON
        ).update(state=Membership.State.ACTIVE, paused_reason="")
    exclusion.refresh_from_db()
    return Lifted(exclusion, grown)


@transaction.atomic
def ask_again(*, project: Project) -> None:
    """What the excluded answered gives its slots back: of a project that was archived when they were
    excluded, and asked nobody, and now goes on."""
    excluded = Exclusion.objects.standing().filter(project=project, annotator__isnull=False)
    answers = Assignment.objects.filter(
        _answers_with_slots(), project=project, annotator__in=excluded.values("annotator")
    )
    ids = list(
        answers.order_by("pk").select_for_update(no_key=True, of=["self"]).values_list("pk", flat=True)
    )
    _lock_tasks(Assignment.objects.filter(pk__in=ids).values("task"))
    Assignment.objects.filter(pk__in=ids).update(state=State.EXCLUDED)


def _answers_with_slots() -> Q:
    """Answers to checks (gold, attention, qualification) take no slot and stay."""
    return Q(~is_check("task"), state=State.SUBMITTED)


def _take_out(exclusion: Exclusion, annotator: User) -> None:
    project = exclusion.project
    theirs = Assignment.objects.filter(project=project, annotator=annotator)
    # Theirs first: a submit of theirs that is under way ends before, or finds its lease gone. Then the tasks,
    # in order.
    held = theirs.filter(state__in=[State.LEASED, State.SUBMITTED, State.REVIEWING])
    list(held.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    answers = theirs.filter(_answers_with_slots())
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
    """How many tasks had to grow."""
    theirs = _put_aside(project, annotator)
    _lock_tasks(theirs.values("task"))
    full = _full(theirs).count()
    try:
        with transaction.atomic():
            theirs.update(state=State.SUBMITTED)
    except IntegrityError as error:
        if "task_overlap_in_bounds" not in str(error):
            raise
        raise Conflict(
            "A task has as many answers as a task can have, so the excluded one has no place any more.",
            type="no-room",
        ) from None
    return full


def _put_aside(project: Project, annotator: UUID) -> AssignmentQuerySet:
    """Answers that gave their slots back."""
    return Assignment.objects.filter(project=project, annotator=annotator, state=State.EXCLUDED)


def _full(answers: AssignmentQuerySet) -> RankingTaskQuerySet:
    """Of their tasks, those whose slots others have taken meanwhile."""
    return RankingTask.objects.asked().filter(pk__in=answers.values("task"), open_slots=0)


def _lock_tasks(ids: object) -> None:
    """In the order of their ids, so that two who lock many don't wait for each other."""
    tasks = RankingTask.objects.filter(pk__in=ids).order_by("pk")
    list(tasks.select_for_update(no_key=True).values_list("pk"))


def _lock(project: Project, who: Who) -> None:
    """Alone with what may change for them: claims of theirs wait (the trigger refuse_excluded)."""
    if who.annotator is not None:
        acquire(Lock.DESK.of(project.pk, who.annotator.pk), Lock.EXCLUSION.of(project.pk, who.annotator.pk))
    else:
        acquire(Lock.EXCLUSION.of(project.pk, f"label:{who.label}"))
