from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.models import ApiToken, Project, User
from annotation.services.tokens import create_token, revoke_token

ME = "/api/v1/auth/me"


def _with(credentials: str) -> APIClient:
    return APIClient(enforce_csrf_checks=True, headers={"Authorization": credentials})


def test_a_token_opens_the_api_without_a_session_or_csrf(alice: User, project: Project) -> None:
    _, text = create_token(user=alice, name="script")
    api = _with(f"Bearer {text}")
    assert api.get(ME).json()["username"] == "alice"
    assert api.post("/api/v1/projects/support/assignments/next").status_code == 204


def test_the_database_does_not_hold_the_token(alice: User) -> None:
    row, text = create_token(user=alice, name="script")
    assert text.startswith("rl_")
    assert row.prefix == text[:8]
    stored = ApiToken.objects.values().get()
    assert all(text not in str(value) for value in stored.values())


def test_a_revoked_token_an_unknown_one_and_one_of_somebody_inactive_are_refused(alice: User) -> None:
    row, text = create_token(user=alice, name="script")
    assert _with("Bearer rl_nonsense").get(ME).status_code == 401
    assert revoke_token(token=row)
    assert not revoke_token(token=row)
    assert _with(f"Bearer {text}").get(ME).status_code == 401
    _, other = create_token(user=alice, name="another")
    User.objects.update(is_active=False)
    assert _with(f"Bearer {other}").get(ME).status_code == 401


@pytest.mark.parametrize("credentials", ["Bearer", "Bearer ", "bearer x y", "Token abc", "Bearer \xe9"])
def test_credentials_of_an_odd_shape_are_refused(db: None, credentials: str) -> None:
    response = _with(credentials).get(ME)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def test_its_use_is_noted_once_a_minute(alice: User) -> None:
    _, text = create_token(user=alice, name="script")
    api = _with(f"Bearer {text}")
    api.get(ME)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    api.get(ME)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    api.get(ME)
    noted = ApiToken.objects.get().last_used_at
    assert noted is not None
    assert noted >= first
