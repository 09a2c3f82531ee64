from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F

from annotation.api.refusals import CapReached, DailyCapReached
from annotation.desk import allocation
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Desk, Project, RankingTask, User
from tests.annotation.answering import claim, claim_next, strict_order

AddTasks = Callable[..., list[RankingTask]]


def _answer(project: Project, person: User) -> None:
    held = claim(project, person)
    submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))


def test_annotator_at_the_cap_gets_a_reason_instead_of_a_task(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    add_tasks(project, 6)
    project.max_per_annotator = 2
    project.save()
    _answer(project, alice)
    _answer(project, alice)
    with pytest.raises(CapReached, match="2"):
        claim_next(project=project, annotator=alice)
    _answer(project, ben)


def test_lease_counts_towards_the_cap(project: Project, add_tasks: AddTasks, alice: User) -> None:
    add_tasks(project, 6)
    project.max_per_annotator = 2
    project.save()
    assert len(allocation.claim_tasks(project=project, annotator=alice, prefetch=2)) == 2
    held = claim(project, alice)  # even at the cap, a claim returns the open lease
    allocation.release_lease(assignment=held, token=held.token)
    assert len(allocation.claim_tasks(project=project, annotator=alice, prefetch=2)) == 2


def test_skip_does_not_count_towards_the_cap(project: Project, add_tasks: AddTasks, alice: User) -> None:
    add_tasks(project, 6)
    project.max_per_annotator = 1
    project.save()
    for _ in range(3):
        held = claim(project, alice)
        allocation.skip_assignment(assignment=held, token=held.token)
    _answer(project, alice)
    with pytest.raises(CapReached):
        claim_next(project=project, annotator=alice)


def test_daily_cap_resets_at_midnight_utc(project: Project, add_tasks: AddTasks, alice: User) -> None:
    add_tasks(project, 6)
    project.max_per_annotator_per_day = 1
    project.save()
    _answer(project, alice)
    with pytest.raises(DailyCapReached, match="1"):
        claim_next(project=project, annotator=alice)
    Desk.objects.filter(annotator=alice).update(day=F("day") - timedelta(days=1))
    _answer(project, alice)
    desk = Desk.objects.get(annotator=alice)
    assert (desk.answered, desk.answered_on_day) == (2, 1)


def test_every_assignment_change_updates_the_desk_counters(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 6)
    for _ in range(3):
        _answer(project, alice)
    held = claim(project, alice)
    allocation.skip_assignment(assignment=held, token=held.token)
    desk = Desk.objects.get(annotator=alice)
    assert (desk.answered, desk.answered_on_day, desk.skipped) == (3, 3, 1)
    Assignment.objects.filter(state="submitted").update(state="excluded")
    desk.refresh_from_db()
    assert (desk.answered, desk.answered_on_day, desk.skipped) == (0, 3, 1)
    Assignment.objects.filter(state="excluded").update(state="submitted")
    Assignment.objects.filter(state="skipped").delete()
    desk.refresh_from_db()
    assert (desk.answered, desk.answered_on_day, desk.skipped) == (3, 3, 0)
