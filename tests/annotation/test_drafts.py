from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.response import Response
from rest_framework.test import APIClient

from annotation.models import Assignment, RankingTask, User
from tests.annotation.answering import next_of, send, wrong_fields


@pytest.fixture
def desk(client_of: Callable[[User | None], APIClient], alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def _save(desk: APIClient, shown: dict[str, str], version: int, **draft: object) -> Response:
    body = {"token": shown["token"], "version": version, "draft": draft}
    return desk.put(f"/api/v1/assignments/{shown['id']}/draft", body)


def test_a_draft_comes_back_with_the_task(desk: APIClient) -> None:
    shown = next_of(desk)
    assert (shown["draft"], shown["draft_version"]) == (None, 0)
    assert _save(desk, shown, 0, comment="so far").json() == {"version": 1}
    assert _save(desk, shown, 1, comment="further").json() == {"version": 2}
    again = next_of(desk)
    assert (again["draft"], again["draft_version"]) == ({"comment": "further"}, 2)


def test_a_stale_tab_does_not_overwrite_a_newer_draft(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="new")
    response = _save(desk, shown, 0, comment="old")
    assert (response.status_code, response.json()["type"]) == (409, "stale-draft")
    assert Assignment.objects.get().draft == {"comment": "new"}


def test_a_draft_after_the_lease_is_a_conflict(desk: APIClient) -> None:
    shown = next_of(desk)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    response = _save(desk, shown, 0, comment="late")
    assert (response.status_code, response.json()["type"]) == (409, "lease-lost")


def test_a_submitted_answer_leaves_no_draft(desk: APIClient) -> None:
    shown = next_of(desk)
    _save(desk, shown, 0, comment="so far")
    send(desk, shown)
    assert Assignment.objects.get().draft is None


def test_a_huge_draft_is_refused(desk: APIClient) -> None:
    shown = next_of(desk)
    response = _save(desk, shown, 0, comment="x" * 300_001)
    assert response.status_code == 422
    assert wrong_fields(response) == ["draft"]
