from __future__ import annotations

import pytest
from django.test import RequestFactory
from rest_framework.test import APIClient

from annotation.accounts.login.limits import Limit
from annotation.models import Project, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")

LOGIN, LOGOUT, ME = (f"/api/v1/auth/{name}" for name in ("login", "logout", "me"))


@pytest.fixture
def browser() -> APIClient:
    """A client with CSRF checks enabled, like a real browser."""
    return APIClient(enforce_csrf_checks=True)


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def _token(browser: APIClient) -> dict[str, str]:
    browser.get(ME)
    return {"X-CSRFToken": browser.cookies["csrftoken"].value}


def _login(browser: APIClient, username: str = "alice", password: str = PASSWORD) -> int:
    body = {"username": username, "password": password}
    return browser.post(LOGIN, body, headers=_token(browser)).status_code


def test_me_endpoint_returns_401_and_a_csrf_cookie_to_anonymous_users(browser: APIClient, db: None) -> None:
    response = browser.get(ME)
    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"] == "Bearer"
    assert "csrftoken" in response.cookies


def test_login_returns_the_user_and_their_memberships(
    browser: APIClient, alice: User, project: Project
) -> None:
    response = browser.post(LOGIN, {"username": "alice", "password": PASSWORD}, headers=_token(browser))
    assert response.status_code == 200
    me = response.json()
    assert me.pop("csrf_token")
    assert me == {
        "id": str(alice.pk),
        "username": "alice",
        "name": "",
        "is_admin": False,
        "memberships": [{"project": "support", "role": "annotator", "state": "active"}],
    }
    assert browser.get(ME).json()["username"] == "alice"


@pytest.mark.parametrize(
    ("username", "password"), [("alice", "wrong"), ("nobody", PASSWORD), ("ALICE", PASSWORD)]
)
def test_wrong_name_and_wrong_password_get_the_same_response(
    browser: APIClient, alice: User, username: str, password: str
) -> None:
    response = browser.post(LOGIN, {"username": username, "password": password}, headers=_token(browser))
    assert (response.status_code, response.json()["type"]) == (400, "wrong-credentials")
    assert browser.get(ME).status_code == 401


def test_inactive_account_cannot_log_in(browser: APIClient, alice: User) -> None:
    User.objects.update(is_active=False)
    assert _login(browser) == 400


def test_login_requires_the_csrf_token(browser: APIClient, alice: User) -> None:
    response = browser.post(LOGIN, {"username": "alice", "password": PASSWORD})
    assert response.status_code == 403
    assert response["Content-Type"] == "application/problem+json"
    assert browser.get(ME).status_code == 401


def test_unsafe_request_in_a_session_requires_the_csrf_token(
    browser: APIClient, alice: User, project: Project
) -> None:
    _login(browser)
    assert browser.post("/api/v1/projects/support/assignments/next").status_code == 403
    fresh = {"X-CSRFToken": browser.get(ME).json()["csrf_token"]}
    assert browser.post("/api/v1/projects/support/assignments/next", headers=fresh).status_code == 204


def test_logout_ends_the_session(browser: APIClient, alice: User) -> None:
    _login(browser)
    assert browser.post(LOGOUT, headers=_token(browser)).status_code == 204
    assert browser.get(ME).status_code == 401


def test_correct_password_is_rejected_after_too_many_guesses(
    browser: APIClient, alice: User, ben: User
) -> None:
    assert [_login(browser, password=f"guess {n}") for n in range(11)] == [400] * 10 + [429]
    response = browser.post(LOGIN, {"username": "alice", "password": PASSWORD}, headers=_token(browser))
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= 60
    assert _login(browser, username="ben") == 400


def test_forged_address_header_does_not_bypass_the_limit(browser: APIClient, alice: User) -> None:
    for n in range(11):
        headers = {**_token(browser), "X-Forwarded-For": f"10.0.0.{n}"}
        body = {"username": "alice", "password": "guess"}
        last = browser.post(LOGIN, body, headers=headers).status_code
    assert last == 429


def test_successful_logins_are_not_limited(browser: APIClient, alice: User) -> None:
    assert {_login(browser) for _ in range(12)} == {200}


@pytest.mark.parametrize("body", [[], {"username": "x\x00"}, {"username": ["a"], "password": 3}, {}])
def test_invalid_login_body_is_refused_with_a_problem_response(
    browser: APIClient, db: None, body: object
) -> None:
    response = browser.post(LOGIN, body, headers=_token(browser))
    assert response.status_code in (400, 422)
    assert response["Content-Type"] == "application/problem+json"


def test_guesses_from_one_address_are_limited_across_accounts(browser: APIClient, alice: User) -> None:
    """One password is tried on many accounts. The requests have no client address, as over a Unix socket, and
    all count as requests from one address."""
    token = _token(browser)
    statuses = [
        browser.post(
            LOGIN, {"username": f"user-{n}", "password": "guess"}, headers=token, REMOTE_ADDR=""
        ).status_code
        for n in range(101)
    ]
    assert statuses == [400] * 100 + [429]


def test_many_guesses_under_other_names_do_not_reset_a_limit(rf: RequestFactory) -> None:
    limit = Limit("code-hour", 2, 3600, "victim")
    request = rf.post("/")
    assert [limit.use(request) is None for _ in range(3)] == [False, False, True]
    for number in range(400):
        Limit("login-hour", 2, 3600, f"name-{number}").use(request)
    assert limit.use(request) is None
