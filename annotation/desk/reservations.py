"""Given tasks for given people: only they get them, before anything else."""

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
    """`short` counts the reserved tasks that want more rankings than there are people who may give them."""

    reserved: int
    unchanged: int
    short: int


@transaction.atomic
def reserve_tasks(
    *, project: Project, tasks: Sequence[UUID], usernames: Sequence[str], by: User | None = None
) -> Reserved:
    """Keeps each of these tasks for all of these members, who get them in the order given here.

    A lease that somebody else holds on one is left to be finished. Raises Problem, with nothing reserved, for
    what isn't the project's, and for a check, which everybody is asked.
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
    """Ends the reservations of these tasks, or only those for these people; how many. A task without any is
    everybody's again."""
    ids = _tasks(project, tasks)
    kept = Reservation.objects.filter(project=project, task__in=ids)
    if usernames is not None:
        kept = kept.filter(annotator__in=_members(project, usernames))
    return kept.delete()[0]


def _members(project: Project, usernames: Sequence[str]) -> list[User]:
    members = Membership.objects.filter(project=project, user__username__in=usernames).with_user()
    by_name = {member.user.username: member.user for member in members}
    if unknown := [name for name in usernames if name not in by_name]:
        reason = f"Not members of this project: {', '.join(unknown)}."
        raise Problem("Some of these people are not here.", errors=[FieldProblem("annotators", reason)])
    return [by_name[name] for name in dict.fromkeys(usernames)]


def _tasks(project: Project, tasks: Sequence[UUID]) -> list[UUID]:
    """Each once, in the given order. Their rows are locked: none becomes a check meanwhile."""
    rows = RankingTask.objects.filter(project=project, pk__in=tasks).order_by("pk")
    kinds = dict(rows.select_for_update(no_key=True).values_list("pk", "kind"))
    errors = []
    for index, task in enumerate(tasks):
        if task not in kinds:
            errors.append(FieldProblem(f"tasks.{index}", "There is no such task in this project."))
        elif RankingTask.Kind(kinds[task]).is_check:
            errors.append(FieldProblem(f"tasks.{index}", "This task is a check: everybody is asked."))
    if errors:
        raise Problem("Some of these tasks can't be reserved.", errors=errors)
    return list(dict.fromkeys(tasks))
