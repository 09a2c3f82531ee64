from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token, revoke_token
from annotation.models import ApiToken, Project, User
from tests.conftest import PASSWORD

ME = "/api/v1/auth/me"
ClientOf = Callable[[User | None], APIClient]


def _with(credentials: str) -> APIClient:
    return APIClient(enforce_csrf_checks=True, headers={"Authorization": credentials})


def test_token_grants_access_without_a_session_or_csrf_token(alice: User, project: Project) -> None:
    _, text = create_token(user=alice, name="script")
    api = _with(f"Bearer {text}")
    assert api.get(ME).json()["username"] == "alice"
    assert api.post("/api/v1/projects/support/assignments/next").status_code == 204


def test_database_does_not_contain_the_token(alice: User) -> None:
    row, text = create_token(user=alice, name="script")
    assert text.startswith("rl_")
    assert row.prefix == text[:8]
    stored = ApiToken.objects.values().get()
    assert all(text not in str(value) for value in stored.values())


def test_unknown_and_revoked_tokens_and_tokens_of_inactive_users_are_refused(alice: User) -> None:
    row, text = create_token(user=alice, name="script")
    assert _with("Bearer rl_nonsense").get(ME).status_code == 401
    assert revoke_token(token=row)
    assert not revoke_token(token=row)
    assert _with(f"Bearer {text}").get(ME).status_code == 401
    _, other = create_token(user=alice, name="another")
    User.objects.update(is_active=False)
    assert _with(f"Bearer {other}").get(ME).status_code == 401


@pytest.mark.parametrize("credentials", ["Bearer", "Bearer ", "bearer x y", "Token abc", "Bearer \xe9"])
def test_malformed_credentials_are_refused(db: None, credentials: str) -> None:
    response = _with(credentials).get(ME)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"


def test_last_use_is_recorded_at_most_once_a_minute(alice: User) -> None:
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


TOKENS = "/api/v1/account/tokens/"
PROOF = {"password": PASSWORD}


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def test_token_is_shown_only_at_creation_and_works_until_it_is_revoked(
    alice: User, client_of: ClientOf
) -> None:
    page = client_of(alice)
    end = timezone.now() + timedelta(days=7)
    made = page.post(
        TOKENS, {"name": "cron", "scopes": ["read", "annotate"], "expires_at": end.isoformat()} | PROOF
    )
    assert made.status_code == 201
    text = made.json()["token"]
    (listed,) = page.get(TOKENS).json()["results"]
    assert text.startswith(listed["prefix"])
    assert (listed["name"], listed["scopes"], listed["revoked_at"]) == ("cron", ["annotate", "read"], None)
    assert text not in page.get(TOKENS).content.decode()
    assert _with(f"Bearer {text}").get(ME).status_code == 200
    assert page.delete(f"{TOKENS}{listed['id']}").status_code == 204
    assert _with(f"Bearer {text}").get(ME).status_code == 401
    assert page.get(TOKENS).json()["results"][0]["revoked_at"] is not None


def test_tokens_of_other_users_are_not_found(alice: User, ben: User, ada: User, client_of: ClientOf) -> None:
    row, _ = create_token(user=alice, name="script")
    for other in (ben, ada):
        assert client_of(other).get(TOKENS).json()["results"] == []
        assert client_of(other).delete(f"{TOKENS}{row.pk}").status_code == 404
    row.refresh_from_db()
    assert row.revoked_at is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["admin"]}, "scopes.0"),
        ({"name": "x"}, "scopes"),
        ({"scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
    ],
)
def test_invalid_token_settings_are_refused_and_the_error_names_the_field(
    alice: User, client_of: ClientOf, body: dict[str, object], field: str
) -> None:
    answer = client_of(alice).post(TOKENS, body | PROOF)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert not ApiToken.objects.exists()


def test_expired_token_is_refused(alice: User) -> None:
    row, text = create_token(user=alice, name="x", expires_at=timezone.now() + timedelta(hours=1))
    assert _with(f"Bearer {text}").get(ME).status_code == 200
    ApiToken.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    assert _with(f"Bearer {text}").get(ME).status_code == 401


def test_token_cannot_create_tokens(alice: User) -> None:
    """A leaked token must not be able to create another token. Otherwise, a token that is valid for a week
    could create a token that never expires."""
    _, text = create_token(user=alice, name="x")
    answer = _with(f"Bearer {text}").post(TOKENS, {"name": "y", "scopes": ["read"]})
    assert (answer.status_code, answer.json()["type"]) == (403, "scope")


def test_refusal_of_a_read_only_token_names_the_missing_scope(alice: User, project: Project) -> None:
    _, text = create_token(user=alice, name="x", scopes=["read"])
    api = _with(f"Bearer {text}")
    assert api.get("/api/v1/projects/support/").status_code == 200
    answer = api.post("/api/v1/projects/support/assignments/next")
    assert (answer.status_code, answer.json()["type"]) == (403, "scope")
    assert "Create a token with the scope annotate" in answer.json()["detail"]


@pytest.mark.parametrize("scopes", [[], ["read", "root"]])
def test_database_refuses_unknown_scopes(alice: User, scopes: list[str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.create(user=alice, name="x", digest="0" * 64, prefix="rl_", scopes=scopes)
