"""Reservations: a reserved task is assigned only to the annotators chosen for it, who get it before any other
task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.db.models import Count, F

from annotation.models import Membership, Project, RankingTask, Reservation, User
from config.problems import FieldProblem, Problem

MAX_TASKS_AT_ONCE = 10_000
MAX_PEOPLE_AT_ONCE = 100


@dataclass(frozen=True)
class Reserved:
    """`short` is the number of reserved tasks that have fewer reserved annotators than required rankings."""

    reserved: int
    unchanged: int
    short: int


@transaction.atomic
def reserve_tasks(
    *, project: Project, tasks: Sequence[UUID], usernames: Sequence[str], by: User | None = None
) -> Reserved:
    """Reserves each task for all of these members, who get the tasks in the given order.

    Other annotators' leases on the tasks are not ended early. Raises Problem, and reserves nothing, if a task
    or a user is not in the project or if a task is a check. A check can't be reserved, because checks are
    open to every annotator.
    """
    people = _members(project, usernames)
    ids = _tasks(project, tasks)
    there = set(Reservation.objects.filter(task__in=ids).values_list("task", "annotator"))
    new = [
        Reservation(project=project, task_id=task, annotator=person, created_by=by)
        for task in ids
        for person in people
        if (task, person.pk) not in there
    ]
    Reservation.objects.bulk_create(new, batch_size=1000)
    wanting = RankingTask.objects.open().filter(pk__in=ids).annotate(kept_for=Count("reservations"))
    short = wanting.filter(kept_for__lt=F("overlap")).count()
    return Reserved(len(new), len(ids) * len(people) - len(new), short)


@transaction.atomic
def let_go(*, project: Project, tasks: Sequence[UUID], usernames: Sequence[str] | None = None) -> int:
    """Ends the reservations of these tasks, for all users or only for the given users. Returns the number of
    ended reservations. A task without reservations is open to every annotator again."""
    ids = _tasks(project, tasks)
    kept = Reservation.objects.filter(project=project, task__in=ids)
    if usernames is not None:
        kept = kept.filter(annotator__in=_members(project, usernames))
    return kept.delete()[0]


def _members(project: Project, usernames: Sequence[str]) -> list[User]:
    members = Membership.objects.filter(project=project, user__username__in=usernames).with_user()
    by_name = {member.user.username: member.user for member in members}
    if unknown := [name for name in usernames if name not in by_name]:
        reason = f"These are not members of this project: {', '.join(unknown)}."
        raise Problem("Some of these users are not members.", errors=[FieldProblem("annotators", reason)])
    return [by_name[name] for name in dict.fromkeys(usernames)]


def _tasks(project: Project, tasks: Sequence[UUID]) -> list[UUID]:
    """The tasks without duplicates, in the given order. Locks the rows, so that no task becomes a check in
    the meantime."""
    rows = RankingTask.objects.filter(project=project, pk__in=tasks).order_by("pk")
    kinds = dict(rows.select_for_update(no_key=True).values_list("pk", "kind"))
    errors = []
    for index, task in enumerate(tasks):
        if task not in kinds:
            errors.append(FieldProblem(f"tasks.{index}", "This project has no such task."))
        elif RankingTask.Kind(kinds[task]).is_check:
            errors.append(
                FieldProblem(f"tasks.{index}", "This task is a check, and checks are open to everybody.")
            )
    if errors:
        raise Problem("Some of these tasks can't be reserved.", errors=errors)
    return list(dict.fromkeys(tasks))
