from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from rest_framework.response import Response
from rest_framework.test import APIClient

from annotation.desk.task_problems import report_problem, settle_problem
from annotation.models import AuditEntry, Project, RankingTask, TaskProblem, User
from config.problems import Conflict
from tests.annotation.answering import claim, next_of, send, wrong_fields

ClientOf = Callable[[User | None], APIClient]
PROBLEMS = "/api/v1/projects/support/problems/"


def _settle(client: APIClient, id: str, **body: str) -> Response:
    return client.post(f"/api/v1/problems/{id}/settle", body)


def _left(client: APIClient) -> int | None:
    left: int | None = client.get("/api/v1/projects/support/").json()["counts"]["open_problems"]
    return left


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def test_managers_see_each_report_with_its_task(desk: APIClient, mona: User, client_of: ClientOf) -> None:
    shown = next_of(desk)
    made = desk.post(
        f"/api/v1/assignments/{shown['id']}/problems", {"kind": "wrong_language", "text": " It is Dutch. "}
    )
    assert made.status_code == 201
    (row,) = client_of(mona).get(PROBLEMS).json()["results"]
    assert row == {
        "id": made.json()["id"],
        "kind": "wrong_language",
        "text": "It is Dutch.",
        "annotator": "alice",
        "task": shown["task"]["id"],
        "task_state": "open",
        "excerpt": shown["task"]["prompt"]["messages"][-1]["content"],
        "created_at": row["created_at"],
        "settled_at": None,
        "settled_by": None,
        "note": "",
    }
    assert desk.get(PROBLEMS).status_code == 403
    assert send(desk, shown).status_code == 201  # the annotator still holds the task


def test_repeated_report_replaces_the_first_and_the_audit_log_keeps_both(desk: APIClient) -> None:
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    first = desk.post(url, {"kind": "unsafe", "text": "one"})
    again = desk.post(url, {"kind": "unsafe", "text": "two"})
    other = desk.post(url, {"kind": "duplicate"})
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 201]
    assert first.json() == again.json()
    assert sorted(TaskProblem.objects.values_list("kind", "text")) == [("duplicate", ""), ("unsafe", "two")]
    told = AuditEntry.objects.filter(table="annotation_taskproblem", row_id=first.json()["id"])
    assert [(entry.action, (entry.after or {})["text"]) for entry in told.order_by("id")] == [
        ("insert", "one"),
        ("update", "two"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "other"}, "text"),
        ({"kind": "other", "text": "  "}, "text"),
        ({"kind": "boring", "text": "x"}, "kind"),
        ({"text": "x"}, "kind"),
        ({"kind": "unsafe", "text": "x" * 2001}, "text"),
    ],
)
def test_report_without_text_is_refused(desk: APIClient, body: dict[str, str], field: str) -> None:
    refused = desk.post(f"/api/v1/assignments/{next_of(desk)['id']}/problems", body)
    assert (refused.status_code, wrong_fields(refused)) == (422, [field])
    assert not TaskProblem.objects.exists()


def test_answered_or_released_task_can_be_reported(desk: APIClient) -> None:
    shown = next_of(desk)
    desk.post(f"/api/v1/assignments/{shown['id']}/release", {"token": shown["token"]})
    url = f"/api/v1/assignments/{shown['id']}/problems"
    assert desk.post(url, {"kind": "unreadable"}).status_code == 201


def test_annotators_can_report_only_their_own_assignments(
    desk: APIClient, ben: User, client_of: ClientOf
) -> None:
    shown = next_of(desk)
    url = f"/api/v1/assignments/{shown['id']}/problems"
    assert client_of(ben).post(url, {"kind": "unsafe"}).status_code == 404


def test_reports_are_paged_with_the_newest_first(desk: APIClient, mona: User, client_of: ClientOf) -> None:
    kinds = ["unreadable", "wrong_language", "unsafe"]
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    for kind in kinds:
        desk.post(url, {"kind": kind})
    manager = client_of(mona)
    first = manager.get(PROBLEMS, {"page_size": 2}).json()
    rest = manager.get(first["next"]).json()
    assert [row["kind"] for row in first["results"] + rest["results"]] == kinds[::-1]


def test_database_requires_text_in_a_report_of_kind_other(desk: APIClient, project: Project) -> None:
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    desk.post(url, {"kind": "other", "text": "the table is cut off"})
    with pytest.raises(IntegrityError, match="other_problem_says"), transaction.atomic():
        TaskProblem.objects.update(text="")


@pytest.fixture
def reported(desk: APIClient) -> list[str]:
    """Files three reports on one task and returns the reports' IDs, oldest first."""
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    kinds = ("unreadable", "wrong_language", "unsafe")
    return [desk.post(url, {"kind": kind, "text": kind}).json()["id"] for kind in kinds]


def test_resolved_reports_are_listed_last_with_their_manager_and_note(
    reported: list[str], mona: User, client_of: ClientOf
) -> None:
    manager = client_of(mona)
    settled = _settle(manager, reported[1], note=" The text is meant to be in Frisian. ").json()
    assert (settled["settled_by"], settled["note"]) == ("mona", "The text is meant to be in Frisian.")
    pages, url = [], f"{PROBLEMS}?page_size=2"
    while url:
        page = manager.get(url).json()
        pages.append([row["id"] for row in page["results"]])
        url = page["next"]
    assert pages == [[reported[2], reported[0]], [reported[1]]]


def test_reports_are_filtered_by_state_and_task(
    reported: list[str], project: Project, mona: User, ben: User, client_of: ClientOf
) -> None:
    elsewhere = claim(project, ben)
    other, _ = report_problem(assignment=elsewhere, kind="duplicate")
    manager = client_of(mona)
    _settle(manager, reported[0])
    sought = {
        "state=settled": reported[:1],
        "state=open": [str(other.pk), *reported[:0:-1]],
        f"task={elsewhere.task_id}": [str(other.pk)],
        f"task={elsewhere.task_id}&state=settled": [],
    }
    for query, expected in sought.items():
        rows = manager.get(f"{PROBLEMS}?{query}").json()["results"]
        assert [row["id"] for row in rows] == expected, query
    assert wrong_fields(manager.get(f"{PROBLEMS}?state=asleep")) == ["state"]


def test_managers_see_the_number_of_open_reports(
    reported: list[str], mona: User, rita: User, alice: User, ada: User, client_of: ClientOf
) -> None:
    _settle(client_of(mona), reported[0])
    assert [_left(client_of(person)) for person in (mona, ada, rita, alice)] == [2, 2, None, None]


def test_report_resolved_by_one_manager_cannot_be_resolved_by_another(
    reported: list[str], mona: User, ada: User, client_of: ClientOf
) -> None:
    assert _settle(client_of(mona), reported[0], note="mine").status_code == 200
    late = _settle(client_of(ada), reported[0], note="mine too")
    assert (late.status_code, late.json()["type"]) == (409, "stale")
    row = TaskProblem.objects.get(pk=reported[0])
    assert (row.settled_by, row.note) == (mona, "mine")


def test_reopened_report_keeps_its_note_only_in_the_audit_log(
    reported: list[str], mona: User, client_of: ClientOf
) -> None:
    manager = client_of(mona)
    _settle(manager, reported[0], note="too early")
    opened = manager.post(f"/api/v1/problems/{reported[0]}/reopen")
    assert (opened.status_code, opened.json()["settled_at"], opened.json()["note"]) == (200, None, "")
    assert manager.post(f"/api/v1/problems/{reported[0]}/reopen").status_code == 409
    told = AuditEntry.objects.filter(table="annotation_taskproblem", row_id=reported[0], action="update")
    assert [(entry.actor, (entry.after or {})["note"]) for entry in told.order_by("id")] == [
        (f"user:{mona.pk}", "too early"),
        (f"user:{mona.pk}", ""),
    ]


def test_repeated_report_reopens_a_resolved_report(desk: APIClient, mona: User, client_of: ClientOf) -> None:
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    first = desk.post(url, {"kind": "unsafe", "text": "one"}).json()["id"]
    _settle(client_of(mona), first)
    assert desk.post(url, {"kind": "unsafe", "text": "still there"}).status_code == 200
    assert _left(client_of(mona)) == 1


def test_report_that_changed_after_it_was_read_cannot_be_resolved(
    reported: list[str], mona: User, client_of: ClientOf
) -> None:
    manager = client_of(mona)
    assert _settle(manager, reported[0], text="an older word").status_code == 409
    assert _settle(manager, reported[0], text="unreadable").status_code == 200


def test_service_refuses_to_resolve_a_resolved_report(reported: list[str], mona: User) -> None:
    problem = TaskProblem.objects.get(pk=reported[0])
    settle_problem(problem=problem, by=mona)
    with pytest.raises(Conflict):
        settle_problem(problem=problem, by=mona)


def test_database_refuses_a_resolved_report_without_a_manager(reported: list[str]) -> None:
    with pytest.raises(IntegrityError, match="problem_settled_by_somebody"), transaction.atomic():
        TaskProblem.objects.update(note="settled by nobody")
