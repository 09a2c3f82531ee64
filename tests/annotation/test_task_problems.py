from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from rest_framework.test import APIClient

from annotation.models import AuditEntry, Project, RankingTask, TaskProblem, User
from tests.annotation.answering import next_of, send, wrong_fields

ClientOf = Callable[[User | None], APIClient]
PROBLEMS = "/api/v1/projects/support/problems/"


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def test_managers_read_what_is_wrong_with_which_task(
    desk: APIClient, mona: User, client_of: ClientOf
) -> None:
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
    }
    assert desk.get(PROBLEMS).status_code == 403
    assert send(desk, shown).status_code == 201  # the task stays theirs to rank


def test_said_again_it_is_said_anew_and_the_log_has_both(desk: APIClient) -> None:
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
def test_what_says_nothing_is_refused(desk: APIClient, body: dict[str, str], field: str) -> None:
    refused = desk.post(f"/api/v1/assignments/{next_of(desk)['id']}/problems", body)
    assert (refused.status_code, wrong_fields(refused)) == (422, [field])
    assert not TaskProblem.objects.exists()


def test_a_task_that_was_answered_or_given_back_can_be_reported_still(desk: APIClient) -> None:
    shown = next_of(desk)
    desk.post(f"/api/v1/assignments/{shown['id']}/release", {"token": shown["token"]})
    url = f"/api/v1/assignments/{shown['id']}/problems"
    assert desk.post(url, {"kind": "unreadable"}).status_code == 201


def test_only_what_one_was_shown_can_be_reported(desk: APIClient, ben: User, client_of: ClientOf) -> None:
    shown = next_of(desk)
    url = f"/api/v1/assignments/{shown['id']}/problems"
    assert client_of(ben).post(url, {"kind": "unsafe"}).status_code == 404


def test_pages_are_keyset_pages_newest_first(desk: APIClient, mona: User, client_of: ClientOf) -> None:
    kinds = ["unreadable", "wrong_language", "unsafe"]
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    for kind in kinds:
        desk.post(url, {"kind": kind})
    manager = client_of(mona)
    first = manager.get(PROBLEMS, {"page_size": 2}).json()
    rest = manager.get(first["next"]).json()
    assert [row["kind"] for row in first["results"] + rest["results"]] == kinds[::-1]


def test_the_database_refuses_an_other_without_words(desk: APIClient, project: Project) -> None:
    url = f"/api/v1/assignments/{next_of(desk)['id']}/problems"
    desk.post(url, {"kind": "other", "text": "the table is cut off"})
    with pytest.raises(IntegrityError, match="other_problem_says"), transaction.atomic():
        TaskProblem.objects.update(text="")
