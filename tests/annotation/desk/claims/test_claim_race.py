"""Many annotators act at once, on real connections. A barrier starts each race, and each test verifies the
resulting counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TypeVar

import pytest
from django.db import connection, connections
from django.db.models import Count, F
from django.utils import timezone

from annotation.api.refusals import LeaseLost
from annotation.desk import allocation
from annotation.desk.submission import AlreadyAnswered, revise_ranking, submit_ranking
from annotation.models import Assignment, Comparison, Project, Ranking, RankingTask, User
from config.problems import Conflict
from tests.annotation.answering import claim, claim_next, strict_order

pytestmark = pytest.mark.django_db(transaction=True)

AddTasks = Callable[..., list[RankingTask]]
Out = TypeVar("Out")


def _at_once(calls: list[Callable[[], Out]]) -> list[Out]:
    """Runs all calls in threads that start together, each on its own connection."""
    barrier = threading.Barrier(len(calls), timeout=30)

    def run(call: Callable[[], Out]) -> Out:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")  # connect first, because connecting takes longer than the race
            barrier.wait()
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(run, call) for call in calls]]


def _crowd(project: Project, n: int) -> list[User]:
    return [User.objects.create(username=f"crowd-{i}", password="!") for i in range(n)]


@pytest.mark.parametrize(("overlap", "n_tasks"), [(1, 60), (3, 20)])
def test_concurrent_annotators_answer_each_task_as_often_as_required(
    project: Project, add_tasks: AddTasks, overlap: int, n_tasks: int
) -> None:
    add_tasks(project, n_tasks, overlap=overlap)
    crowd = _crowd(project, 8)

    def drain(person: User) -> int:
        answered = 0
        while assignment := claim_next(project=project, annotator=person):
            answer = strict_order(assignment.shown_order)
            submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
            answered += 1
        return answered

    answered = _at_once([partial(drain, person) for person in crowd])
    assert sum(answered) == n_tasks * overlap
    assert set(RankingTask.objects.values_list("state", "open_slots", "answered")) == {("done", 0, overlap)}
    assert Ranking.objects.count() == n_tasks * overlap
    assert Comparison.objects.count() == n_tasks * overlap * 3
    assert not Ranking.objects.values("task", "annotator").annotate(n=Count("pk")).filter(n__gt=1).exists()


def test_all_slots_of_the_last_task_are_assigned(project: Project, add_tasks: AddTasks) -> None:
    """Claims use SKIP LOCKED, but must not report an empty queue while a slot is free."""
    add_tasks(project, 1, overlap=6)
    crowd = _crowd(project, 8)
    got = _at_once([partial(claim_next, project=project, annotator=who) for who in crowd])
    assert sum(assignment is not None for assignment in got) == 6
    assert RankingTask.objects.get().open_slots == 0


def test_simultaneous_claims_by_one_annotator_return_the_same_lease(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    got = _at_once([lambda: claim(project, alice)] * 6)
    assert len({(assignment.pk, assignment.token) for assignment in got}) == 1
    assert Assignment.objects.count() == 1
    assert RankingTask.objects.filter(open_slots=0).count() == 1


def _outcome(call: Callable[[], tuple[Ranking, bool]]) -> tuple[str, bool]:
    try:
        ranking, created = call()
        return str(ranking.pk), created
    except Conflict as refused:
        return refused.type, False


def test_simultaneous_submits_with_one_idempotency_key_write_one_ranking(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    answer = strict_order(assignment.shown_order)
    outcomes = _at_once(
        [
            lambda: _outcome(
                lambda: submit_ranking(
                    assignment=assignment, token=assignment.token, answer=answer, idempotency_key="k"
                )
            )
        ]
        * 6
    )
    assert Ranking.objects.count() == 1
    assert {id for id, _ in outcomes} == {str(Ranking.objects.get().pk)}
    assert sum(created for _, created in outcomes) == 1


def test_only_one_of_many_simultaneous_submits_without_a_key_succeeds(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    answer = strict_order(assignment.shown_order)
    outcomes = _at_once(
        [
            lambda: _outcome(
                lambda: submit_ranking(assignment=assignment, token=assignment.token, answer=answer)
            )
        ]
        * 6
    )
    assert Ranking.objects.count() == 1
    assert [type for type, created in outcomes if not created] == [AlreadyAnswered.type] * 5


def test_expiry_and_submit_never_both_succeed(project: Project, add_tasks: AddTasks, alice: User) -> None:
    """The lease expires during the submission. Either the answer counts, or the slot is free again."""
    add_tasks(project, 12)
    for _ in range(12):
        assignment = claim(project, alice)
        end = timezone.now() + timedelta(milliseconds=30)
        Assignment.objects.filter(pk=assignment.pk).update(expires_at=end)
        told, _ = _at_once([partial(_submit_at, end, assignment), partial(_expire_at, end)])
        assignment.refresh_from_db()
        stored = Ranking.objects.filter(assignment=assignment).exists()
        assert stored == (told != LeaseLost.type) == (assignment.state == "submitted")
        allocation.expire_leases()
        task = RankingTask.objects.get(pk=assignment.task_id)
        assert task.open_slots == (0 if stored else 1)
        Assignment.objects.filter(pk=assignment.pk).exclude(state="submitted").update(state="skipped")
    assert not RankingTask.objects.exclude(open_slots=F("overlap") - F("answered")).exists()


def test_expiry_and_heartbeat_never_both_succeed(project: Project, add_tasks: AddTasks, alice: User) -> None:
    """If the renewal succeeds, the annotator holds the lease; after LeaseLost, the annotator does not."""
    add_tasks(project, 12)
    for _ in range(12):
        assignment = claim(project, alice)
        end = timezone.now() + timedelta(milliseconds=30)
        Assignment.objects.filter(pk=assignment.pk).update(expires_at=end)
        told, _ = _at_once([partial(_renew_at, end, assignment), partial(_expire_at, end)])
        allocation.expire_leases()
        assignment.refresh_from_db()
        held = assignment.state == "leased"
        assert held == (told != LeaseLost.type)
        assert RankingTask.objects.get(pk=assignment.task_id).open_slots == (0 if held else 1)
        Assignment.objects.filter(pk=assignment.pk).update(state="skipped")


def _renew_at(end: datetime, assignment: Assignment) -> str:
    _wait_until(end - timedelta(milliseconds=1))
    try:
        allocation.renew_lease(assignment=assignment, token=assignment.token)
    except LeaseLost as lost:
        return lost.type
    return "renewed"


def _submit_at(end: datetime, assignment: Assignment) -> str:
    answer = strict_order(assignment.shown_order)
    _wait_until(end - timedelta(milliseconds=2))
    return _outcome(lambda: submit_ranking(assignment=assignment, token=assignment.token, answer=answer))[0]


def _expire_at(end: datetime) -> str:
    _wait_until(end)
    return str(allocation.expire_leases())


def _wait_until(moment: datetime) -> None:
    threading.Event().wait(max(0.0, (moment - timezone.now()).total_seconds()))


def test_simultaneous_revisions_leave_one_current_ranking(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    first = strict_order(assignment.shown_order)
    submit_ranking(assignment=assignment, token=assignment.token, answer=first)
    orders = [assignment.shown_order[::-1], assignment.shown_order[1:] + assignment.shown_order[:1]]
    outcomes = _at_once(
        [
            partial(_outcome, partial(revise_ranking, assignment=assignment, answer=strict_order(order)))
            for order in orders
        ]
    )
    assert Ranking.objects.current().filter(assignment=assignment).count() == 1
    # If the revisions run one after the other, both are stored, and the second supersedes the first.
    assert Ranking.objects.count() == 1 + sum(created for _, created in outcomes)
    assert any(created for _, created in outcomes)


def test_slot_counts_are_correct_after_simultaneous_actions(project: Project, add_tasks: AddTasks) -> None:
    """Claims, answers, skips, releases and sweeps can happen in any order without a deadlock. No slot is lost
    or assigned twice."""
    add_tasks(project, 15, overlap=2)
    crowd = _crowd(project, 6)

    def act(person: User, seed: int) -> None:
        chance = Random(seed)
        for _ in range(25):
            assignment = claim_next(project=project, annotator=person)
            if assignment is None:
                return
            held, do = {"assignment": assignment, "token": assignment.token}, chance.random()
            with suppress(Conflict):
                if do < 0.3:
                    allocation.release_lease(**held)
                elif do < 0.4:
                    allocation.skip_assignment(**held, reason="")
                elif do < 0.6:
                    past = timezone.now() - timedelta(seconds=1)
                    Assignment.objects.filter(pk=assignment.pk).update(expires_at=past)
                    allocation.expire_leases()
                else:
                    submit_ranking(**held, answer=strict_order(assignment.shown_order))

    _at_once([partial(act, person, seed) for seed, person in enumerate(crowd)])
    for task in RankingTask.objects.all():
        states = list(task.assignments.values_list("state", flat=True))
        assert task.open_slots == 2 - states.count("leased") - states.count("submitted")
        assert task.answered == states.count("submitted") == task.rankings.count()
        assert (task.state == "done") == (task.answered == 2)
