"""API tokens expire by default. Creating a token requires proof that the user is present, and a new password
revokes all tokens."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from allauth.account.internal.flows import login as flows
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.models import ApiToken, User
from tests.annotation.accounts.test_second_factor import code_at
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
TOKENS, ME = "/api/v1/account/tokens/", "/api/v1/auth/me"
WANTED: dict[str, Any] = {"name": "cron", "scopes": ["read"]}
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@pytest.fixture
def page(alice: User) -> APIClient:
    """Alice's browser."""
    alice.set_password(PASSWORD)
    alice.save()
    page = APIClient()
    assert page.post("/api/v1/auth/login", {"username": "alice", "password": PASSWORD}).status_code == 200
    return page


def life(answer: Any) -> timedelta | None:
    ends = answer.json()["expires_at"]
    return None if ends is None else datetime.fromisoformat(ends) - timezone.now()


def in_days(days: int) -> str:
    return (timezone.now() + timedelta(days=days)).isoformat()


def works(token: str) -> bool:
    return APIClient(headers={"Authorization": f"Bearer {token}"}).get(ME).status_code == 200


def test_token_expires_after_90_days_unless_another_date_is_chosen(page: APIClient) -> None:
    usual = page.post(TOKENS, WANTED | {"password": PASSWORD})
    assert (life(usual) or timedelta()) // timedelta(hours=1) == 90 * 24 - 1
    shorter = page.post(TOKENS, WANTED | {"password": PASSWORD, "expires_at": in_days(7)})
    assert (life(shorter) or timedelta()).days == 6


def test_token_without_an_expiry_date_needs_permission_from_the_operator(
    page: APIClient, settings: Settings
) -> None:
    for refused in (None, in_days(400)):
        answer = page.post(TOKENS, WANTED | {"password": PASSWORD, "expires_at": refused})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "expires_at")
    assert page.get("/api/v1/account/").json()["token_max_days"] == 365
    settings.TOKEN_MAX_DAYS = None
    allowed = page.post(TOKENS, WANTED | {"password": PASSWORD, "expires_at": None})
    assert (allowed.status_code, life(allowed)) == (201, None)
    assert page.get("/api/v1/account/").json()["token_max_days"] is None


def test_default_expiry_does_not_exceed_a_shorter_maximum(page: APIClient, settings: Settings) -> None:
    settings.TOKEN_MAX_DAYS = 30
    answer = page.post(TOKENS, WANTED | {"password": PASSWORD})
    assert (life(answer) or timedelta()).days == 29


@pytest.mark.parametrize("proof", [{}, {"password": "wrong"}, {"password": ""}, {"code": "123456"}])
def test_creating_a_token_needs_the_password(page: APIClient, proof: dict[str, str]) -> None:
    answer = page.post(TOKENS, WANTED | proof)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "password")
    assert not ApiToken.objects.exists()


def test_creating_a_token_needs_a_code_if_the_second_factor_is_on(page: APIClient, alice: User) -> None:
    Authenticator.objects.create(user=alice, type="totp", data={"secret": get_adapter().encrypt(SECRET)})
    for proof in ({"password": PASSWORD}, {"password": PASSWORD, "code": "000"}):
        answer = page.post(TOKENS, WANTED | proof)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "code")
    code = code_at(SECRET, time.time())
    assert page.post(TOKENS, WANTED | {"code": code}).status_code == 201
    assert page.post(TOKENS, WANTED | {"code": code}).status_code == 400  # each code works once
    assert ApiToken.objects.count() == 1


def test_creating_a_token_without_a_password_needs_a_recent_login(page: APIClient, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(password="!")  # Alice logs in only through a provider
    alice.refresh_from_db()
    page.force_login(alice)
    for minutes, status in ((20, 403), (5, 201)):
        session = page.session
        session[flows._AUTHENTICATION_METHODS_USER_SESSION_KEY] = str(alice.pk)
        session[flows.AUTHENTICATION_METHODS_SESSION_KEY] = [
            {"method": "oidc", "at": time.time() - 60 * minutes}
        ]
        session.save()
        answer = page.post(TOKENS, WANTED)
        assert answer.status_code == status
    page.force_login(alice)
    session = page.session
    session.pop(flows.AUTHENTICATION_METHODS_SESSION_KEY)
    session.save()
    assert page.post(TOKENS, WANTED).json()["type"] == "login-too-old"


def test_new_password_revokes_all_tokens_of_the_account_and_no_others(
    page: APIClient, alice: User, ben: User
) -> None:
    mine, other = create_token(user=alice, name="a")[1], create_token(user=ben, name="b")[1]
    body = {"current": PASSWORD, "new": "staple battery horse"}
    assert page.post("/api/v1/account/password", body).status_code == 204
    assert (works(mine), works(other)) == (False, True)
    assert page.get(TOKENS).json()["results"][0]["revoked_at"] is not None


def test_password_set_by_a_command_revokes_the_tokens_too(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = create_token(user=alice, name="a")[1]
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "staple battery horse")
    call_command("changepassword", "alice", stdout=StringIO())
    assert not works(token)


def test_upgrading_the_hash_of_a_password_does_not_revoke_tokens(
    page: APIClient, alice: User, settings: Settings
) -> None:
    token = create_token(user=alice, name="a")[1]
    before = User.objects.get().password
    better = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [better, *settings.PASSWORD_HASHERS]
    body = {"username": "alice", "password": PASSWORD}
    assert APIClient().post("/api/v1/auth/login", body).status_code == 200
    assert User.objects.get().password != before
    assert works(token)


def created(*options: str) -> Any:
    out = StringIO()
    call_command("create_user", *options, "--json", stdout=out)
    return json.loads(out.getvalue())["token_expires_at"]


def test_token_of_a_new_account_expires_unless_requested_otherwise(db: None) -> None:
    assert (datetime.fromisoformat(created("zoe")) - timezone.now()).days == 89
    assert (datetime.fromisoformat(created("yan", "--token-days", "5")) - timezone.now()).days == 4
    assert created("xia", "--token-days", "never") is None
    for wrong in ("0", "-1", "soon", "99999999"):
        with pytest.raises(CommandError, match="--token-days"):
            created("wim", f"--token-days={wrong}")
