"""The annotator's view of their own work: statistics, pace, caps, and revision of the last answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts.members import add_member
from annotation.desk import own_work
from annotation.models import Assignment, Desk, Project, Ranking, RankingTask, User
from annotation.oversight.exclusion import Who, exclude_annotator
from tests.annotation.answering import claim, next_of, rank_next, send
from tests.annotation.desk.test_checks import answer, make_check

ClientOf = Callable[[User | None], APIClient]
AddTasks = Callable[..., list[RankingTask]]
MINE = "/api/v1/projects/support/assignments/mine"
LAST = "/api/v1/projects/support/assignments/last"
NOTHING_YET = {
    "answered": 0,
    "answered_today": 0,
    "left_today": None,
    "median_seconds": None,
    "qualification": None,
}


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def test_statistics_exclude_answers_of_other_annotators(
    desk: APIClient, project: Project, alice: User, ben: User, client_of: ClientOf
) -> None:
    assert desk.get(MINE).json() == NOTHING_YET
    for seconds in (10, 30, 20):
        rank_next(project, alice, [0], [1], [2], duration_ms=seconds * 1000)
    mine = desk.get(MINE).json()
    assert (mine["answered"], mine["answered_today"], mine["median_seconds"]) == (3, 3, 20.0)
    assert client_of(ben).get(MINE).json() == NOTHING_YET


def test_answers_from_the_previous_day_do_not_count(desk: APIClient, project: Project, alice: User) -> None:
    rank_next(project, alice, [0], [1], [2])
    Desk.objects.update(day=timezone.now().date() - timedelta(days=1))
    mine = desk.get(MINE).json()
    assert (mine["answered"], mine["answered_today"]) == (1, 0)


@pytest.mark.parametrize(
    ("caps", "left"),
    [
        ({"max_per_annotator_per_day": 5}, 3),
        ({"max_per_annotator": 3}, 1),
        ({"max_per_annotator": 9, "max_per_annotator_per_day": 4}, 2),
        ({"max_per_annotator": 1}, 0),
    ],
)
def test_number_of_answers_left_today_depends_on_both_caps(
    desk: APIClient, project: Project, alice: User, caps: dict[str, int], left: int
) -> None:
    for _ in range(2):
        rank_next(project, alice, [0], [1], [2])
    Project.objects.filter(pk=project.pk).update(**caps)
    assert desk.get(MINE).json()["left_today"] == left


def test_pace_is_computed_from_recent_answers_and_ignores_revisions(
    desk: APIClient, project: Project, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_work, "PACE_OVER", 2)
    rank_next(project, alice, [0], [1], [2], duration_ms=900_000)
    rank_next(project, alice, [0], [1], [2], duration_ms=10_000)
    shown = next_of(desk)
    send(desk, shown, duration_ms=20_000)
    send(desk, shown, "revise", duration_ms=500_000, comment="on second thoughts")
    assert desk.get(MINE).json()["median_seconds"] == 15.0


def test_qualification_progress_is_shown_until_the_qualification_ends(
    project: Project, add_tasks: AddTasks, alice: User, mona: User, client_of: ClientOf
) -> None:
    for task in add_tasks(project, 4)[:2]:
        make_check(task, "qualification")
    project.qualification_pass_mark = 1.0
    project.save()

    def told() -> Any:
        return client_of(alice).get(MINE).json()["qualification"]

    assert told() == {"tasks": 2, "left": 2, "attempt": 1, "attempts": 2}
    answer(claim(project, alice))
    assert told()["left"] == 1
    answer(claim(project, alice), right=False)
    assert told() == {"tasks": 2, "left": 2, "attempt": 2, "attempts": 2}
    for _ in range(2):
        answer(claim(project, alice))
    assert told() is None
    assert client_of(alice).get(MINE).json()["answered"] == 0
    assert client_of(mona).get(MINE).json()["qualification"] is None


def test_statistics_need_one_query_for_any_number_of_answers(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 30)
    for _ in range(25):
        rank_next(project, alice, [0], [1], [2])
    with CaptureQueriesContext(connection) as asked:
        own_work.own_figures(project=project, annotator=alice)
    assert len(asked) == 1


def test_last_answer_is_returned_with_the_content_that_was_shown(desk: APIClient) -> None:
    assert desk.get(LAST).status_code == 204
    send(desk, next_of(desk))
    shown = next_of(desk)
    send(desk, shown, comment="hm", ratings={})
    next_of(desk)
    last = desk.get(LAST).json()
    for part in ("id", "task", "responses", "form"):
        assert last[part] == shown[part]
    assert "token" not in last
    assert last["answer"]["comment"] == "hm"
    assert last["answer"]["tiers"] == [[response["id"]] for response in shown["responses"]]


def test_revision_becomes_the_last_answer(desk: APIClient) -> None:
    shown = next_of(desk)
    send(desk, shown)
    turned = [[response["id"]] for response in reversed(shown["responses"])]
    last = desk.get(LAST).json()
    revised = desk.post(f"/api/v1/assignments/{last['id']}/revise", last["answer"] | {"tiers": turned})
    assert revised.status_code == 201
    assert desk.get(LAST).json()["answer"]["tiers"] == turned
    assert Ranking.objects.current().get().tiers == turned


def test_last_answer_of_another_annotator_is_not_returned(
    desk: APIClient, ben: User, client_of: ClientOf
) -> None:
    send(desk, next_of(desk))
    assert client_of(ben).get(LAST).status_code == 204


@pytest.mark.parametrize("state", ["archived", "paused"])
def test_archived_project_does_not_offer_revisions(desk: APIClient, project: Project, state: str) -> None:
    shown = next_of(desk)
    send(desk, shown)
    Project.objects.filter(pk=project.pk).update(state=state)
    offered = desk.get(LAST).status_code == 200
    taken = send(desk, shown, "revise", comment="more").status_code == 201
    assert offered == taken == (state == "paused")


def test_excluded_and_paused_annotators_are_not_offered_revisions(
    desk: APIClient, project: Project, alice: User
) -> None:
    send(desk, next_of(desk))
    exclude_annotator(project=project, who=Who(annotator=alice), reason="noise")
    refused = desk.get(LAST)
    assert (refused.status_code, refused.json()["type"]) == (409, "annotator-paused")
    add_member(project=project, user=alice, role="annotator", state="active")
    assert desk.get(LAST).status_code == 204


def test_reading_the_last_answer_needs_two_queries_for_any_number_of_answers(
    project: Project, add_tasks: AddTasks, alice: User
) -> None:
    add_tasks(project, 30)
    for _ in range(25):
        rank_next(project, alice, [0], [1], [2])
    with CaptureQueriesContext(connection) as asked:
        assert own_work.last_answer(project=project, annotator=alice) is not None
    assert len(asked) == 2
    assert Assignment.objects.filter(state="submitted").count() == 25
