"""A queue cursor finds the same task as a search of all tasks, but faster. The tests compare the cursor with
the search while the queue changes. Annotators answer, skip and release tasks or let leases expire. Managers
move, drop and add tasks."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from annotation.desk import allocation, checks, reservations
from annotation.desk.queue import cursor as cursors
from annotation.desk.queue import picks
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Project, RankingTask, User
from config.problems import Conflict
from tests.annotation.answering import claim_next, strict_order
from tests.annotation.desk.claims.plans import PlanOf, plan_for_any_values, plan_for_values

pytestmark = pytest.mark.django_db(transaction=True)

AddTasks = Callable[..., list[RankingTask]]


@pytest.fixture(autouse=True)
def _cursors_from_the_first_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cursors, "CURSOR_FROM_TURNS", 0)
    monkeypatch.setattr(cursors, "CURSOR_EVERY_TURNS", 3)
    cursors._cursors.clear()


def expected(project: Project, annotator: User) -> UUID | None:
    """The first free task in queue order, found by a search of all tasks."""
    mine = Assignment.objects.filter(task=OuterRef("pk"), annotator=annotator).exclude(
        state__in=["expired", "released"]
    )
    free = RankingTask.objects.filter(
        ~Exists(mine), project=project, state="open", open_slots__gt=0, reserved=False
    )
    order = ["-priority", "id"]
    if project.allocation_policy == "finish_started":
        free = free.annotate(untouched=Q(open_slots=F("overlap")))
        order.insert(1, "untouched")
    return free.order_by(*order).values_list("pk", flat=True).first()


@pytest.mark.parametrize("policy", ["finish_started", "fifo"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cursor_never_changes_the_task_that_comes_next(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User, policy: str, seed: int
) -> None:
    project.allocation_policy, project.skip_ways = policy, ["others", "me", "drop"]
    project.save()
    chance = Random(seed)
    tasks = add_tasks(project, 40, k=2, overlap=3)
    used = 0
    for step in range(160):
        person = chance.choice([alice, alice, ben, rita])
        wanted = expected(project, person)
        held = claim_next(project=project, annotator=person)
        if held is not None and wanted is not None:
            assert held.task_id == wanted, (step, person)
        elif wanted is not None:
            pytest.fail(f"step {step}: {person} got no task, but {wanted} is free")
        used += any(key[1] == person.pk for key in cursors._cursors)
        _whatever(project, tasks, held, chance)
        if step == 80:
            tasks = add_tasks(project, 60, k=2, overlap=3)
    assert used > 100  # most claims used a cursor


def _whatever(project: Project, tasks: list[RankingTask], held: Assignment | None, chance: Random) -> None:
    """Makes a random change to the queue."""
    if held is not None:
        deed = chance.random()
        lease = {"assignment": held, "token": held.token}
        if deed < 0.55:
            submit_ranking(**lease, answer=strict_order(held.shown_order))
        elif deed < 0.7:
            allocation.skip_assignment(**lease, way=chance.choice(["others", "others", "me"]))
        elif deed < 0.85:
            allocation.release_lease(**lease)
        else:
            Assignment.objects.filter(pk=held.pk).update(expires_at=timezone.now() - timedelta(hours=1))
            allocation.expire_leases()
    task = RankingTask.objects.get(pk=chance.choice(tasks).pk)
    deed = chance.random()
    if deed < 0.06:
        RankingTask.objects.filter(pk=task.pk).update(priority=chance.choice([-1, 0, 0, 1]))
    elif deed < 0.1:
        RankingTask.objects.filter(pk=task.pk, state="open").update(state="dropped")
    elif deed < 0.14:
        RankingTask.objects.filter(pk=task.pk, state="dropped").update(state="open")
    elif deed < 0.18:
        # Undoes the skip. The annotator can get the task again, although no slot was freed.
        Assignment.objects.filter(task=task, state="skipped").delete()
    elif deed < 0.22:
        Assignment.objects.filter(task=task, state="skipped").update(state="released")
    elif deed < 0.26:
        RankingTask.objects.asked().filter(pk=task.pk, state="open", overlap=3).update(
            overlap=4, open_slots=F("open_slots") + 1
        )
    elif deed < 0.3 and not task.reserved and task.kind == "ranking":
        reservations.reserve_tasks(project=project, tasks=[task.pk], usernames=["mona"])
    elif deed < 0.34:
        reservations.let_go(
            project=project, tasks=[one.pk for one in tasks if RankingTask.objects.get(pk=one.pk).reserved]
        )
    elif deed < 0.37 and not task.reserved:
        gold = [[pk] for pk in task.responses.values_list("pk", flat=True)]
        checks.set_kind(task=task, kind="ranking" if task.kind == "gold" else "gold", gold_tiers=gold)


def test_slot_freed_by_a_transaction_in_progress_is_not_missed(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    """A slot becomes free in a transaction that starts before the cursor is set and ends afterwards."""
    tasks = add_tasks(project, 12, k=2)
    held = claim_next(project=project, annotator=ben)
    assert held is not None
    assert held.task_id == tasks[0].pk
    with ThreadPoolExecutor(1) as elsewhere:
        with transaction.atomic():
            Assignment.objects.filter(pk=held.pk).update(state="released")
            for _ in range(5):
                elsewhere.submit(_answer_one, project, alice).result(timeout=30)
        cursor = next(cursor for key, cursor in cursors._cursors.items() if key[1] == alice.pk)
        assert cursor.place[-1] != tasks[0].pk
        assert cursor.place[-1] > tasks[0].pk
    mine = claim_next(project=project, annotator=alice)
    assert mine is not None
    assert mine.task_id == tasks[0].pk


def _answer_one(project: Project, person: User) -> None:
    try:
        held = claim_next(project=project, annotator=person)
        assert held is not None
        submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
    finally:
        connections.close_all()


def test_claim_that_is_rolled_back_leaves_no_cursor(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    """Tasks are leased and skipped in a transaction that is rolled back. A cursor that still pointed past
    these tasks would hide them forever."""
    add_tasks(project, 6, k=2, overlap=2)
    with transaction.atomic():
        for _ in range(4):
            held = claim_next(project=project, annotator=alice)
            assert held is not None
            allocation.skip_assignment(assignment=held, token=held.token)
        transaction.set_rollback(True)
    wanted = expected(project, alice)
    held = claim_next(project=project, annotator=alice)
    assert held is not None
    assert held.task_id == wanted


def test_cursor_from_another_database_server_is_not_used(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 6, k=2, overlap=2)
    _answer_one(project, alice)
    _answer_one(project, alice)
    (key,) = cursors._cursors
    end = cursors._END[Project.AllocationPolicy(project.allocation_policy)]
    stale = cursors.Cursor(end, 2**60, timezone.now(), cursors._cursors[key].turns, 1e12)
    cursors._cursors[key] = stale
    assert claim_next(project=project, annotator=alice) is not None


@pytest.mark.parametrize("plan_of", [plan_for_values, plan_for_any_values])
@pytest.mark.parametrize("policy", ["finish_started", "fifo"])
def test_claim_from_a_cursor_reads_indexes_in_order(
    project: Project, add_tasks: AddTasks, alice: User, policy: str, plan_of: PlanOf
) -> None:
    project.allocation_policy = policy
    tasks = add_tasks(project, 2000, k=2, overlap=2)
    with connection.cursor() as cursor:
        # Most tasks last changed long ago, as in an active project.
        cursor.execute("SELECT pg_current_xact_id()::text::bigint + 1000")
        (seen,) = cursor.fetchone()
        cursor.execute("ANALYZE annotation_rankingtask, annotation_assignment")
        place = (0, True, tasks[1000].pk) if policy == "finish_started" else (0, tasks[1000].pk)
        at = cursors.Cursor(place, seen, timezone.now(), 0, 0.0)
    plan = plan_of(*picks.queue_statement(project=project, annotator=alice, cursor=at))
    behind, ahead = plan.split("CTE behind")[1].split("CTE ahead")
    ahead = ahead.split("Subquery Scan")[0]
    assert "task_queue_moved" in behind, plan
    assert f"Index Scan using task_queue_{policy} on annotation_rankingtask t" in ahead, plan
    assert "ROW(" in ahead.split("Index Cond")[1].split("Filter")[0], plan
    assert "Sort" not in ahead, plan
    assert "Seq Scan on annotation_rankingtask" not in plan, plan


@pytest.mark.parametrize("plan_of", [plan_for_values, plan_for_any_values])
@pytest.mark.parametrize("policy", ["finish_started", "fifo"])
def test_look_ahead_statement_reads_indexes_in_order(
    project: Project, add_tasks: AddTasks, alice: User, policy: str, plan_of: PlanOf
) -> None:
    tasks = add_tasks(project, 2000, k=2, overlap=2)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text::bigint + 1000")
        (seen,) = cursor.fetchone()
        cursor.execute("ANALYZE annotation_rankingtask, annotation_assignment")
    place = (0, True, tasks[1000].pk) if policy == "finish_started" else (0, tasks[1000].pk)
    for known in (None, cursors.Cursor(place, seen, timezone.now(), 0, 0.0)):
        plan = plan_of(
            *cursors.look_ahead_statement(
                project=project,
                annotator=alice,
                policy=Project.AllocationPolicy(policy),
                known=known,
            )
        )
        assert f"Index Scan using task_queue_{policy} on annotation_rankingtask t" in plan or (
            f"Index Only Scan using task_queue_{policy} on annotation_rankingtask t" in plan
        ), plan
        assert ("task_queue_moved" in plan) == (known is not None), plan
        assert "Seq Scan on annotation_rankingtask" not in plan, plan
        assert "Sort" not in plan.split("CTE behind")[0], plan


def test_annotators_with_cursors_answer_each_task_as_often_as_required(
    project: Project, add_tasks: AddTasks
) -> None:
    add_tasks(project, 40, k=2, overlap=3)
    crowd = [User.objects.create(username=f"crowd-{i}", password="!") for i in range(5)]

    def drain(person: User) -> int:
        chance, answered = Random(person.username), 0
        try:
            while held := claim_next(project=project, annotator=person):
                lease = {"assignment": held, "token": held.token}
                try:
                    if chance.random() < 0.15:
                        allocation.release_lease(**lease)
                    else:
                        submit_ranking(**lease, answer=strict_order(held.shown_order))
                        answered += 1
                except Conflict:
                    continue
            return answered
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(crowd)) as threads:
        answered = sum(threads.map(drain, crowd))
    # An annotator who finds no task stops, so a task that is released later can remain unanswered. All
    # annotators therefore try again.
    for person in crowd:
        answered += drain(person)
    assert answered == 120
    assert set(RankingTask.objects.values_list("state", "answered")) == {("done", 3)}
