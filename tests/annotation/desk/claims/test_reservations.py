from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.desk import allocation, reservations
from annotation.desk.checks import set_kind
from annotation.desk.submission import submit_ranking
from annotation.models import Project, RankingTask, Reservation, User
from config.problems import Conflict
from tests.annotation.answering import claim, claim_next, strict_order, wrong_fields

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]
URL = "/api/v1/projects/support/reservations/"


def _reserve(project: Project, tasks: list[RankingTask], *people: User) -> reservations.Reserved:
    return reservations.reserve_tasks(
        project=project, tasks=[task.pk for task in tasks], usernames=[person.username for person in people]
    )


def _drain(project: Project, person: User) -> list[object]:
    given = []
    while held := claim_next(project=project, annotator=person):
        given.append(held.task_id)
        submit_ranking(assignment=held, token=held.token, answer=strict_order(held.shown_order))
    return given


def test_reserved_task_comes_first_and_goes_only_to_its_annotator(
    project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    RankingTask.objects.filter(pk=tasks[0].pk).update(priority=9)
    _reserve(project, [tasks[3], tasks[2]], ben)
    assert _drain(project, alice) == [tasks[0].pk, tasks[1].pk]
    assert _drain(project, ben) == [tasks[3].pk, tasks[2].pk]


def test_task_reserved_for_two_annotators_is_done_after_both_answers(
    project: Project, add_tasks: AddTasks, alice: User, ben: User, rita: User
) -> None:
    (task,) = add_tasks(project, 1, overlap=2)
    _reserve(project, [task], alice, ben)
    assert claim_next(project=project, annotator=rita) is None
    assert _drain(project, alice) == _drain(project, ben) == [task.pk]
    task.refresh_from_db()
    assert (task.state, task.reserved) == ("done", True)
    assert not Reservation.objects.filter(open=True).exists()


def test_task_without_reservations_is_open_to_every_annotator(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    _reserve(project, tasks, User.objects.get(username="ben"))
    assert claim_next(project=project, annotator=alice) is None
    assert reservations.let_go(project=project, tasks=[tasks[1].pk]) == 1
    assert _drain(project, alice) == [tasks[1].pk]


def test_reserved_task_skipped_by_its_only_annotator_is_not_reassigned(
    project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    _reserve(project, tasks[:1], ben)
    held = claim(project, ben)
    allocation.skip_assignment(assignment=held, token=held.token)
    assert tasks[0].pk not in _drain(project, alice) + _drain(project, ben)
    row = Reservation.objects.get()
    assert (row.open, row.task_id) == (False, tasks[0].pk)


def test_deferred_reserved_task_comes_last(project: Project, tasks: list[RankingTask], ben: User) -> None:
    _reserve(project, tasks[:1], ben)
    held = claim(project, ben)
    allocation.skip_assignment(assignment=held, token=held.token, way="me")
    assert _drain(project, ben)[-1] == tasks[0].pk


def test_managers_can_reserve_tasks_and_list_and_release_the_reservations(
    project: Project, add_tasks: AddTasks, alice: User, mona: User, client_of: ClientOf
) -> None:
    tasks = add_tasks(project, 3, overlap=2)
    api = client_of(mona)
    body = {"tasks": [str(task.pk) for task in tasks], "annotators": ["alice"]}
    made = api.post(URL, body)
    assert (made.status_code, made.json()) == (201, {"reserved": 3, "unchanged": 0, "short": 3})
    assert api.post(URL, body | {"annotators": ["alice", "ben"]}).json() == {
        "reserved": 3,
        "unchanged": 3,
        "short": 0,
    }
    rows = api.get(URL).json()["results"]
    assert {(row["task"], row["annotator"]) for row in rows} == {
        (str(task.pk), name) for task in tasks for name in ("alice", "ben")
    }
    assert Reservation.objects.filter(created_by=mona).count() == 6
    assert api.get("/api/v1/projects/support/tasks/?reserved=true").json()["results"][0]["reserved"] is True
    gone = api.post(f"{URL}release", {"tasks": body["tasks"][:1], "annotators": ["ben"]})
    assert gone.json() == {"released": 1}
    assert client_of(alice).post(URL, body).status_code == 403


def test_invalid_reservation_is_refused_and_the_error_names_the_field(
    project: Project, tasks: list[RankingTask], oscar: User, mona: User, client_of: ClientOf
) -> None:
    api = client_of(mona)
    ids = [str(tasks[0].pk), "01900000-0000-7000-8000-000000000000"]
    assert wrong_fields(api.post(URL, {"tasks": ids, "annotators": ["alice"]})) == ["tasks.1"]
    assert wrong_fields(api.post(URL, {"tasks": ids[:1], "annotators": ["oscar"]})) == ["annotators"]
    assert wrong_fields(api.post(URL, {"tasks": [], "annotators": ["alice"]})) == ["tasks"]
    assert not Reservation.objects.exists()


def test_checks_cannot_be_reserved_and_reserved_tasks_cannot_become_checks(
    project: Project, tasks: list[RankingTask], mona: User, client_of: ClientOf
) -> None:
    ben = User.objects.get(username="ben")
    _reserve(project, tasks[:1], ben)
    gold = [[pk] for pk in tasks[0].responses.values_list("pk", flat=True)]
    with pytest.raises(Conflict, match="reserved"):
        set_kind(task=tasks[0], kind="gold", gold_tiers=gold)
    set_kind(
        task=tasks[1],
        kind="gold",
        gold_tiers=[[pk] for pk in tasks[1].responses.values_list("pk", flat=True)],
    )
    response = client_of(mona).post(URL, {"tasks": [str(tasks[1].pk)], "annotators": ["ben"]})
    assert wrong_fields(response) == ["tasks.0"]


def test_database_refuses_reservations_across_projects(
    project: Project, tasks: list[RankingTask], ben: User
) -> None:
    elsewhere = Project.objects.create(slug="elsewhere", name="Elsewhere")
    with pytest.raises(IntegrityError, match="not in the project"), transaction.atomic():
        Reservation.objects.create(project=elsewhere, task=tasks[0], annotator=ben)
