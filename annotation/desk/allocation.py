"""Leases on tasks: claimed in one transaction, renewed, released, skipped, and reclaimed when they expire.

A trigger updates a task's `open_slots` when an assignment's state changes. To free a slot, code in this
module therefore only changes the state, by compare-and-set.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from psycopg import errors

from annotation.api.refusals import (
    AnnotatorExcluded,
    AnnotatorPaused,
    CapReached,
    DailyCapReached,
    LeaseLost,
    ProjectNotActive,
    QualificationFailed,
)
from annotation.database.sql import Lock, acquire, retry_deadlocks
from annotation.desk import checks
from annotation.desk.queue import picks
from annotation.desk.queue.facts import Facts, lock_desk_and_read
from annotation.models import Assignment, Membership, Project, RankingTask, User
from annotation.models.project import Role, SkipWay
from annotation.models.task import MAX_PREFETCH
from config.problems import FieldProblem, Problem

log = logging.getLogger(__name__)

# A lost race means that another request made progress. Outside the race tests, no claim has lost three
# races in a row.
CLAIM_ATTEMPTS = 5
_EXCLUDED = "nothing_for_the_excluded"  # the constraint named in the trigger's error


def claim_tasks(*, project: Project, annotator: User, prefetch: int = 0) -> list[Assignment]:
    """Renews the annotator's current lease, or leases the next task. Returns this lease, followed by up to
    `prefetch` further leases.

    Returns an empty list if no task is left for the annotator. Raises Problem if `prefetch` is out of bounds.
    If the annotator holds no lease and can't get a lease, raises ProjectNotActive, AnnotatorPaused,
    AnnotatorExcluded, QualificationFailed, CapReached or DailyCapReached. Must not be called inside a
    transaction, which would keep the tasks locked.
    """
    if not 0 <= prefetch <= MAX_PREFETCH:
        reason = f"Use a number from 0 to {MAX_PREFETCH}."
        raise Problem("That many tasks can't be prefetched.", errors=[FieldProblem("prefetch", reason)])
    for _ in range(CLAIM_ATTEMPTS):
        try:
            held = _hold(project, annotator, prefetch)
        except IntegrityError as error:
            refusal = error.__cause__
            if isinstance(refusal, errors.CheckViolation) and refusal.diag.constraint_name == _EXCLUDED:
                raise AnnotatorExcluded from None
            raise
        if held is not None:
            return held
    raise AssertionError("every attempt to claim a task lost a race with another request")


@retry_deadlocks
@transaction.atomic
def _hold(project: Project, annotator: User, prefetch: int) -> list[Assignment] | None:
    """Makes one attempt at :func:`claim_tasks`. Returns None if the attempt must be repeated, for example if
    the leased task was answered just after the lease was read."""
    facts = lock_desk_and_read(project=project, annotator=annotator)
    _refuse_paused(facts)
    leases: list[Assignment] = []
    places = list(facts.places)
    if places:
        leases = picks.renew(project=project, annotator=annotator, all=prefetch > 0)[: 1 + prefetch]
        if not leases:
            return None
    while len(leases) < 1 + prefetch and len(places) <= MAX_PREFETCH:
        if refusal := _refusal(project, facts, held=len(places)):
            if leases:
                break
            raise refusal
        taken = _take(project, annotator, facts, places)
        if taken is None:
            unfinished = not places and _must_qualify(project, facts)
            # The attempt's remaining tasks are no longer qualification tasks. The attempt is therefore judged
            # by the answers given so far.
            if unfinished and checks.judge_attempt(project=project, annotator_id=annotator.pk):
                return None
            break
        leases.append(taken)
        places.append(taken.place)
    return leases


def _refuse_paused(facts: Facts) -> None:
    if facts.member_state == Membership.State.PAUSED:
        raise AnnotatorPaused(facts.paused_reason or "")


def _refusal(project: Project, facts: Facts, *, held: int) -> Exception | None:
    """The reason why an annotator with `held` leases can't get another task, or None if they can. Each lease
    counts towards the caps like an answer."""
    if facts.project_state != Project.State.ACTIVE:
        return ProjectNotActive(project.slug, Project.State(facts.project_state).label)
    if _must_qualify(project, facts) and _attempts_left(project, facts) <= 0:
        return QualificationFailed(project.qualification_attempts + (facts.extra_attempts or 0))
    if project.max_per_annotator is not None and facts.answered + held >= project.max_per_annotator:
        return CapReached(project.max_per_annotator)
    daily = project.max_per_annotator_per_day
    if daily is not None and facts.answered_today + held >= daily:
        return DailyCapReached(daily)
    return None


def _must_qualify(project: Project, facts: Facts) -> bool:
    return (
        project.qualification_pass_mark is not None
        and facts.role == Role.ANNOTATOR
        and facts.qualified is False
    )


def _attempts_left(project: Project, facts: Facts) -> int:
    allowed = project.qualification_attempts + (facts.extra_attempts or 0)
    return 1 + allowed - (facts.attempt or 1)


def _take(project: Project, annotator: User, facts: Facts, places: list[int]) -> Assignment | None:
    """Leases the next task. If the annotator must qualify, the next task is a qualification task. Otherwise,
    the function tries these tasks in order: a check that is due, a reserved task, the first task in the
    queue, and a task that the annotator deferred."""
    place = min(set(range(MAX_PREFETCH + 1)) - set(places))
    who: dict[str, Any] = {"project": project, "annotator": annotator, "place": place}
    if _must_qualify(project, facts) and checks.asks_to_qualify(project=project):
        return picks.take_qualification(**who, attempt=facts.attempt or 1)
    kind = _check_due(project, annotator, turn=facts.turns + len(places))
    if kind is not None and (check := picks.take_check(**who, kind=kind)):
        return check
    # First skip the tasks that others are claiming at this moment. If no task is found, wait for the locked
    # tasks. A project's last slots are often on a task that another claim has locked for a millisecond.
    for wait in (False, True):
        if facts.has_reservations and (reserved := picks.take_reserved(**who, wait=wait)):
            return reserved
        if taken := picks.take_from_queue(**who, facts=facts, wait=wait):
            return taken
    return picks.take_put_off(**who) if facts.skipped else None


def _check_due(project: Project, annotator: User, *, turn: int) -> RankingTask.Kind | None:
    """The kind of check that the annotator gets as task number `turn`; None if this task is not a check.

    Checks have random positions. If every n-th task were a check, annotators could predict the checks. For a
    given `turn`, the decision is always the same. An annotator therefore can't avoid a check by releasing it.
    """
    if not project.gold_rate + project.attention_rate:
        return None
    digest = hashlib.sha256(project.mixing_seed.bytes + annotator.pk.bytes + turn.to_bytes(8, "big")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    if share < project.gold_rate:
        return RankingTask.Kind.GOLD
    if share < project.gold_rate + project.attention_rate:
        return RankingTask.Kind.ATTENTION
    return None


def renew_lease(*, assignment: Assignment, token: uuid.UUID) -> datetime:
    """Renews the lease and returns its new expiry. Raises LeaseLost if the lease is no longer held with
    this token."""
    until = Now() + timedelta(seconds=assignment.project.lease_seconds)
    held = Assignment.objects.held_with(token).filter(pk=assignment.pk)
    if held.update(expires_at=until) != 1:
        raise LeaseLost("This lease has expired or was released. Request the next task.")
    assignment.refresh_from_db(fields=["expires_at"])
    return assignment.expires_at


def release_lease(*, assignment: Assignment, token: uuid.UUID) -> None:
    """Releases the task. The annotator can get the task again. Raises LeaseLost if the lease is no longer
    held."""
    _leave(assignment, token, state=Assignment.State.RELEASED)


def skip_assignment(
    *, assignment: Assignment, token: uuid.UUID, reason: str = "", way: str | None = None
) -> None:
    """Skips the task; `way` decides who gets it next. With `me`, the task returns to the annotator when no
    other task is left. With `others`, the task is assigned only to other annotators. With `drop`, the task is
    not assigned again. The default is the project's first skip option.

    A check has no slot, so skipping a check changes nothing for other annotators. Raises Problem if the
    project doesn't allow this skip option. Raises LeaseLost if the lease is no longer held.
    """
    ways = assignment.project.skip_ways
    way = way or ways[0]
    if way not in ways:
        raise Problem(
            "The task can't be skipped in this way.",
            errors=[FieldProblem("way", f"This project allows {', '.join(ways)}.")],
        )
    task = assignment.task
    with transaction.atomic():
        if task.is_check:
            acquire(Lock.DESK.of(assignment.project_id, assignment.annotator_id))
        _leave(
            assignment,
            token,
            state=Assignment.State.SKIPPED,
            skip_reason=reason,
            skip_way=way,
            skipped_at=Now(),
        )
        if task.is_check:
            checks.note_skip(assignment=assignment, way=way)
        elif way == SkipWay.DROP:
            RankingTask.objects.open().filter(pk=task.pk).update(state=RankingTask.State.DROPPED)


def _leave(assignment: Assignment, token: uuid.UUID, **changes: Any) -> None:
    held = Assignment.objects.leased().filter(pk=assignment.pk, token=token)
    if held.update(**changes) != 1:
        raise LeaseLost("This lease is no longer held, so it can't be released.")


def expire_leases() -> int:
    """Reclaims all expired leases and returns their number. Drafts stay with the assignment."""
    with transaction.atomic():
        # Skip rows that a submission or another sweep has locked. The next sweep handles them.
        run_out = Assignment.objects.run_out().select_for_update(skip_locked=True, no_key=True)
        expired = Assignment.objects.filter(
            pk__in=run_out.order_by("task_id").values("pk"), state="leased"
        ).update(state=Assignment.State.EXPIRED)
    if expired:
        log.info("reclaimed %d expired leases", expired)
    return expired
