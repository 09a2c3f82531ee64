from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.desk import allocation
from annotation.models import Assignment, RankingTask, User
from annotation.tasks import expire_leases
from tests.annotation.answering import next_of

ClientOf = Callable[[User | None], APIClient]


@pytest.fixture
def desk(client_of: ClientOf, alice: User, tasks: list[RankingTask]) -> APIClient:
    return client_of(alice)


def _act(desk: APIClient, shown: dict[str, str], action: str, **body: object) -> int:
    return desk.post(
        f"/api/v1/assignments/{shown['id']}/{action}", {"token": shown["token"], **body}
    ).status_code


def _free_slots() -> int:
    return RankingTask.objects.filter(open_slots=1).count()


def test_heartbeat_renews_the_lease(desk: APIClient) -> None:
    shown = next_of(desk)
    Assignment.objects.update(expires_at=timezone.now() + timedelta(seconds=5))
    response = desk.post(f"/api/v1/assignments/{shown['id']}/heartbeat", {"token": shown["token"]})
    assert response.status_code == 200
    until = Assignment.objects.get().expires_at
    assert until > timezone.now() + timedelta(seconds=800)
    assert response.json()["expires_at"][:19] == until.isoformat()[:19]


def test_heartbeat_that_is_late_or_has_a_wrong_token_is_a_conflict(desk: APIClient) -> None:
    shown = next_of(desk)
    assert _act(desk, {**shown, "token": str(uuid4())}, "heartbeat") == 409
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert _act(desk, shown, "heartbeat") == 409
    assert Assignment.objects.get().expires_at < timezone.now()


def test_released_task_is_available_at_once(desk: APIClient) -> None:
    shown = next_of(desk)
    assert _free_slots() == 3
    assert _act(desk, shown, "release") == 204
    assert _free_slots() == 4
    assert _act(desk, shown, "release") == 409


def test_reason_for_a_skip_is_stored_and_another_annotator_gets_the_task(
    desk: APIClient, ben: User, client_of: ClientOf
) -> None:
    shown = next_of(desk)
    assert _act(desk, shown, "skip", reason="not my language") == 204
    assert Assignment.objects.get().skip_reason == "not my language"
    assert next_of(desk)["task"]["id"] != shown["task"]["id"]
    assert next_of(client_of(ben))["task"]["id"] == shown["task"]["id"]


def test_skip_with_a_wrong_token_changes_nothing(desk: APIClient) -> None:
    shown = next_of(desk)
    assert _act(desk, {**shown, "token": str(uuid4())}, "skip") == 409
    assert Assignment.objects.get().state == "leased"


def test_sweep_ends_only_expired_leases(desk: APIClient, ben: User, client_of: ClientOf) -> None:
    run_out = next_of(desk)
    held = next_of(client_of(ben))
    past = timezone.now() - timedelta(hours=1)
    Assignment.objects.filter(pk=run_out["id"]).update(expires_at=past, draft={"comment": "half"})
    assert allocation.expire_leases() == 1
    assert Assignment.objects.get(pk=run_out["id"]).state == "expired"
    assert Assignment.objects.get(pk=run_out["id"]).draft == {"comment": "half"}
    assert Assignment.objects.get(pk=held["id"]).state == "leased"
    assert _free_slots() == 3
    assert allocation.expire_leases() == 0


def test_celery_beat_runs_the_sweep(desk: APIClient) -> None:
    assert settings.CELERY_BEAT_SCHEDULE["expire-leases"]["task"] == expire_leases.name
    next_of(desk)
    Assignment.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    expire_leases()
    assert Assignment.objects.get().state == "expired"
