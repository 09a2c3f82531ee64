from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient

from annotation.desk.submission import StaleDraft, save_draft, submit_ranking
from annotation.models import Assignment, Project, Ranking, RankingTask, User
from tests.annotation.answering import claim, next_of, send, strict_order, wrong_fields
from tests.annotation.racing import at_once


@pytest.fixture
def desk(client_of: Callable[[User | None], APIClient], alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def _save(desk: APIClient, shown: dict[str, str], version: int, **draft: object) -> Response:
    body = {"token": shown["token"], "version": version, "draft": draft}
    return desk.put(f"/api/v1/assignments/{shown['id']}/draft", body)


def test_draft_is_returned_with_the_task(desk: APIClient) -> None:
    shown = next_of(desk)
    assert (shown["draft"], shown["draft_version"]) == (None, 0)
    assert _save(desk, shown, 0, comment="so far").json() == {"version": 1}
    assert _save(desk, shown, 1, comment="further").json() == {"version": 2}
    again = next_of(desk)
    assert (again["draft"], again["draft_version"]) == ({"comment": "further"}, 2)


def test_stale_tab_does_not_overwrite_a_newer_draft(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="new")
    response = _save(desk, shown, 0, comment="old")
    assert (response.status_code, response.json()["type"]) == (409, "stale-draft")
    assert Assignment.objects.get().draft == {"comment": "new"}


def test_saving_a_draft_after_the_lease_ends_is_a_conflict(desk: APIClient) -> None:
    shown = next_of(desk)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    response = _save(desk, shown, 0, comment="late")
    assert (response.status_code, response.json()["type"]) == (409, "lease-lost")


def test_submitted_answer_leaves_no_draft(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="so far")
    send(desk, shown)
    assert Assignment.objects.get().draft is None


def test_oversized_draft_is_refused(desk: APIClient) -> None:
    shown = next_of(desk)
    response = _save(desk, shown, 0, comment="x" * 300_001)
    assert response.status_code == 422
    assert wrong_fields(response) == ["draft"]


@pytest.mark.parametrize("draft", ["text", [], None, 7])
def test_draft_must_be_an_object(desk: APIClient, draft: object) -> None:
    shown = next_of(desk)
    body = {"token": shown["token"], "version": 0, "draft": draft}
    response = desk.put(f"/api/v1/assignments/{shown['id']}/draft", body)
    assert (response.status_code, wrong_fields(response)) == (422, ["draft"])


@pytest.mark.parametrize("version", [-1, 2**31, "x", None])
def test_draft_version_must_be_a_non_negative_integer(desk: APIClient, version: object) -> None:
    shown = next_of(desk)
    response = _save(desk, shown, version)  # type: ignore[arg-type]
    assert (response.status_code, wrong_fields(response)) == (422, ["version"])


def test_draft_with_an_unknown_version_is_refused_as_stale(desk: APIClient) -> None:
    assert _save(desk, next_of(desk), 7).json()["type"] == "stale-draft"


def test_refused_draft_is_not_stored(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="kept")
    for bad in ({"comment": "\x00"}, {"a": {"\x00": 1}}, {"comment": "x" * 300_001}):
        assert _save(desk, shown, 1, **bad).status_code in (400, 422)
    kept = Assignment.objects.get()
    assert (kept.draft, kept.draft_version) == ({"comment": "kept"}, 1)


def test_draft_survives_releasing_and_reclaiming_the_task(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="so far")
    desk.post(f"/api/v1/assignments/{shown['id']}/release", {"token": shown["token"]})
    again = next_of(desk)
    assert (again["id"], again["draft"], again["draft_version"]) == (shown["id"], {"comment": "so far"}, 1)
    assert _save(desk, shown, 1, comment="old tab").json()["type"] == "lease-lost"
    assert _save(desk, again, 1, comment="new tab").json() == {"version": 2}


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_tabs_saving_the_same_version_succeeds(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    assignment = claim(project, alice)
    for version in range(5):
        save = partial(save_draft, assignment=assignment, token=assignment.token, version=version)
        outcomes = at_once([partial(save, draft={"tab": tab}) for tab in range(8)])
        winners = [tab for tab, outcome in enumerate(outcomes) if outcome == version + 1]
        assert len(winners) == 1
        assert sum(isinstance(outcome, StaleDraft) for outcome in outcomes) == 7
        assignment.refresh_from_db()
        assert (assignment.draft, assignment.draft_version) == ({"tab": winners[0]}, version + 1)


@pytest.mark.django_db(transaction=True)
def test_draft_never_survives_a_simultaneous_submit(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    for _ in tasks:
        assignment = claim(project, alice)
        answer = strict_order(assignment.shown_order)
        shared = {"assignment": assignment, "token": assignment.token}
        saved, submitted = at_once(
            [
                partial(save_draft, **shared, version=0, draft={"late": True}),
                partial(submit_ranking, **shared, answer=answer),
            ]
        )
        assert submitted[1] is True
        assert saved == 1 or getattr(saved, "type", "") in {"lease-lost", "stale-draft"}
        assignment.refresh_from_db()
        assert (assignment.state, assignment.draft) == ("submitted", None)
    assert Ranking.objects.count() == len(tasks)
