from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from annotation.desk.queue import picks
from annotation.desk.submission import submit_ranking
from annotation.models import Assignment, Project, RankingTask, TaskResponse, User
from config.problems import Conflict
from tests.annotation.answering import claim, claim_next, strict_order
from tests.annotation.desk.claims.plans import PlanOf, plan_for_any_values, plan_for_values

AddTasks = Callable[..., list[RankingTask]]


def _finish(assignment: Assignment) -> None:
    answer = strict_order(assignment.shown_order)
    submit_ranking(assignment=assignment, token=assignment.token, answer=answer)


def _give(task: RankingTask, person: User) -> None:
    """Leases a task directly instead of from the queue."""
    until = timezone.now() + timedelta(hours=1)
    Assignment.objects.create(
        task=task, project_id=task.project_id, annotator=person, shown_order=[], expires_at=until
    )


def test_tasks_are_ordered_by_priority_and_then_by_age(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    tasks = add_tasks(project, 3)
    RankingTask.objects.filter(pk=tasks[2].pk).update(priority=5)
    given = []
    while assignment := claim_next(project=project, annotator=alice):
        given.append(assignment.task_id)
        _finish(assignment)
    assert given == [tasks[2].pk, tasks[0].pk, tasks[1].pk]


def test_started_tasks_are_finished_first(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    tasks = add_tasks(project, 3, overlap=2)
    # Ben has leased the second task, and nobody has started the first task. Alice therefore gets the second
    # task before the first task.
    _give(tasks[1], ben)
    assert claim(project, alice).task_id == tasks[1].pk


def test_fifo_order_ignores_whether_tasks_are_started(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    project.allocation_policy = "fifo"
    project.save()
    tasks = add_tasks(project, 3, overlap=2)
    _give(tasks[1], ben)
    assert claim(project, alice).task_id == tasks[0].pk


def test_open_lease_is_returned_and_renewed(project: Project, tasks: list[RankingTask], alice: User) -> None:
    first = claim(project, alice)
    Assignment.objects.filter(pk=first.pk).update(expires_at=timezone.now() + timedelta(seconds=5))
    second = claim(project, alice)
    assert (second.pk, second.token) == (first.pk, first.token)
    assert second.expires_at > timezone.now() + timedelta(seconds=800)
    assert Assignment.objects.count() == 1


def test_expired_lease_is_returned_with_a_new_token(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    first = claim(project, alice)
    Assignment.objects.filter(pk=first.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    second = claim(project, alice)
    assert second.pk == first.pk
    assert second.token != first.token


@pytest.mark.parametrize("state", ["expired", "released"])
def test_released_task_returns_with_its_draft(
    project: Project, add_tasks: AddTasks, alice: User, state: str
) -> None:
    task, *_ = add_tasks(project, 1)
    first = claim(project, alice)
    Assignment.objects.filter(pk=first.pk).update(state=state, draft={"comment": "half"}, draft_version=3)
    second = claim(project, alice)
    assert (second.pk, second.state, second.draft, second.draft_version) == (
        first.pk,
        "leased",
        {"comment": "half"},
        3,
    )
    assert second.token != first.token
    assert second.shown_order == first.shown_order
    task.refresh_from_db()
    assert task.open_slots == 0


@pytest.mark.parametrize("state", ["submitted", "skipped"])
def test_answered_or_skipped_task_never_returns_to_the_same_annotator(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, state: str
) -> None:
    add_tasks(project, 1, overlap=2)
    first = claim(project, alice)
    Assignment.objects.filter(pk=first.pk).update(state=state)
    assert claim_next(project=project, annotator=alice) is None
    assert claim(project, ben).task_id == first.task_id


def test_task_is_never_assigned_beyond_its_overlap(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User
) -> None:
    add_tasks(project, 1, overlap=2)
    claim(project, alice)
    claim(project, ben)
    assert claim_next(project=project, annotator=rita) is None


def test_dropped_tasks_and_tasks_of_other_projects_are_not_assigned(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    RankingTask.objects.all().update(state="dropped")
    assert claim_next(project=project, annotator=alice) is None
    other = Project.objects.create(slug="other", name="Other")
    RankingTask.objects.all().update(state="open")
    assert claim_next(project=other, annotator=alice) is None


@pytest.mark.parametrize("state", ["paused", "archived"])
def test_inactive_project_does_not_assign_tasks(
    project: Project, tasks: list[RankingTask], alice: User, state: str
) -> None:
    Project.objects.filter(pk=project.pk).update(state=state)
    with pytest.raises(Conflict, match=state):
        claim_next(project=project, annotator=alice)
    assert not Assignment.objects.exists()


def test_response_orders_are_equally_likely_and_differ_between_annotators(
    project: Project, add_tasks: AddTasks, alice: User, ben: User
) -> None:
    add_tasks(project, 120, overlap=2)
    sql = "UPDATE annotation_assignment SET state = 'skipped' WHERE state = 'leased'"  # ends the lease
    orders: dict[User, list[list[int]]] = {alice: [], ben: []}
    for _ in range(120):
        for person in (alice, ben):
            assignment = claim(project, person)
            shown = TaskResponse.objects.filter(task=assignment.task_id)
            position = dict(shown.values_list("response_id", "position"))
            orders[person].append([position[response] for response in assignment.shown_order])
        with connection.cursor() as cursor:
            cursor.execute(sql)
    seen = Counter(tuple(order) for order in orders[alice])
    # With 120 leases, each of the six orders is expected 20 times; four standard deviations are 16.
    assert len(seen) == 6
    assert all(4 <= count <= 36 for count in seen.values()), seen
    same = sum(one == two for one, two in zip(orders[alice], orders[ben], strict=True))
    assert 4 <= same <= 36


def test_claim_executes_three_statements(
    project: Project, tasks: list[RankingTask], alice: User, django_assert_num_queries: Callable[..., object]
) -> None:
    # The three statements are the desk lock, the desk's data and the claim. Two further statements create and
    # release a savepoint, because the test runs in a transaction.
    with django_assert_num_queries(5):
        claim(project, alice)


@pytest.mark.parametrize("plan_of", [plan_for_values, plan_for_any_values])
@pytest.mark.parametrize(
    ("policy", "index"), [("fifo", "task_queue_fifo"), ("finish_started", "task_queue_finish_started")]
)
def test_claim_uses_the_partial_index(
    project: Project, add_tasks: AddTasks, alice: User, policy: str, index: str, plan_of: PlanOf
) -> None:
    project.allocation_policy = policy
    add_tasks(project, 2000, k=2)
    RankingTask.objects.filter(pk__in=list(RankingTask.objects.values_list("pk", flat=True)[:1000])).update(
        state="done", open_slots=0
    )
    sql, params = picks.queue_statement(project=project, annotator=alice)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE annotation_rankingtask, annotation_assignment")
    plan = plan_of(sql, params)
    assert f"Index Scan using {index} on annotation_rankingtask t" in plan, plan
    assert "Seq Scan on annotation_rankingtask" not in plan, plan
    assert "Sort" not in plan.split("CTE pick")[1].split("Subquery Scan")[0], plan
