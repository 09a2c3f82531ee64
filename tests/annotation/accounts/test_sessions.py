"""Each login creates a session. All of a user's sessions end at the user's request or when the account is
deactivated. A password change ends all other sessions."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.backends import ModelBackend
from django.contrib.sessions.models import Session
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.models import Project, User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
LOGIN, ME = "/api/v1/auth/login", "/api/v1/auth/me"
NEXT = "/api/v1/projects/support/assignments/next"


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def _post(browser: APIClient, url: str, **body: str) -> int:
    browser.get(ME)
    token = browser.cookies["csrftoken"].value
    return int(browser.post(url, body, headers={"X-CSRFToken": token}).status_code)


def _logged_in(password: str = PASSWORD) -> APIClient:
    browser = APIClient(enforce_csrf_checks=True)
    assert _post(browser, LOGIN, username="alice", password=password) == 200
    return browser


def test_login_replaces_a_planted_session(alice: User) -> None:
    """The login prevents session fixation: a session cookie planted in the browser before the login is
    useless afterwards."""
    stranger = APIClient(enforce_csrf_checks=True)
    session = stranger.session
    session["planted"] = True
    session.save()
    planted = session.session_key
    browser = APIClient(enforce_csrf_checks=True)
    browser.cookies["sessionid"] = planted
    assert _post(browser, LOGIN, username="alice", password=PASSWORD) == 200
    assert browser.cookies["sessionid"].value != planted
    assert stranger.get(ME).status_code == 401
    assert not Session.objects.filter(session_key=planted).exists()


def test_login_creates_a_new_csrf_token(alice: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.get(ME)
    before = browser.cookies["csrftoken"].value
    assert _post(browser, LOGIN, username="alice", password=PASSWORD) == 200
    assert browser.cookies["csrftoken"].value != before
    assert browser.post(NEXT, headers={"X-CSRFToken": before}).status_code == 403


def test_sessions_need_the_csrf_token_but_api_tokens_do_not(alice: User, project: Project) -> None:
    browser = _logged_in()
    assert browser.post(NEXT).status_code == 403
    assert browser.patch("/api/v1/projects/support/", {}).status_code == 403
    assert browser.delete("/api/v1/account/tokens/00000000-0000-0000-0000-000000000000").status_code == 403
    program = APIClient(
        enforce_csrf_checks=True, headers={"Authorization": f"Bearer {create_token(user=alice, name='x')[1]}"}
    )
    assert program.post(NEXT).status_code == 204


def test_session_cookie_is_hidden_from_scripts_and_other_sites(alice: User) -> None:
    cookie = _logged_in().cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"


def test_logging_out_everywhere_ends_all_sessions_but_revokes_no_tokens(alice: User) -> None:
    here, there = _logged_in(), _logged_in()
    _, token = create_token(user=alice, name="script")
    assert _post(here, "/api/v1/auth/logout/everywhere") == 204
    assert [browser.get(ME).status_code for browser in (here, there)] == [401, 401]
    assert APIClient(headers={"Authorization": f"Bearer {token}"}).get(ME).status_code == 200
    assert _logged_in().get(ME).status_code == 200


def test_new_password_ends_all_other_sessions(alice: User) -> None:
    here, there = _logged_in(), _logged_in()
    new = "staple battery horse"
    assert _post(here, "/api/v1/account/password", current=PASSWORD, new=new) == 204
    assert [browser.get(ME).status_code for browser in (here, there)] == [200, 401]
    assert _logged_in(new).get(ME).status_code == 200
    assert _post(APIClient(enforce_csrf_checks=True), LOGIN, username="alice", password=PASSWORD) == 400


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("not it", "staple battery horse", "current"),
        (PASSWORD, "short", "new"),
        (PASSWORD, "password12", "new"),
    ],
)
def test_invalid_password_change_is_refused_and_the_error_names_the_field(
    alice: User, current: str, new: str, field: str
) -> None:
    browser = _logged_in()
    browser.get(ME)
    answer = browser.post(
        "/api/v1/account/password",
        {"current": current, "new": new},
        headers={"X-CSRFToken": browser.cookies["csrftoken"].value},
    )
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_deactivation_ends_access_at_once(alice: User) -> None:
    browser = _logged_in()
    User.objects.update(is_active=False)
    assert browser.get(ME).status_code == 401


def test_guessing_the_current_password_in_a_session_is_limited(alice: User) -> None:
    browser = _logged_in()
    statuses = [
        _post(browser, "/api/v1/account/password", current=f"guess {n}", new="staple battery horse")
        for n in range(11)
    ]
    assert statuses == [422] * 10 + [429]


class WritingBackend(ModelBackend):
    """Updates the user each time the user is loaded, as some single sign-on backends do."""

    def get_user(self, user_id: Any) -> Any:
        User.objects.filter(pk=user_id).update(first_name="seen")
        return super().get_user(user_id)


def test_authentication_backend_can_write_while_it_loads_the_user(alice: User, settings: Settings) -> None:
    """Each write looks up the actor. Here, the actor is the user who is being loaded, so the lookup must not
    load the user again."""
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.WritingBackend"]
    browser = APIClient()
    browser.force_login(alice)
    assert browser.get(ME).json()["name"] == "seen"
    assert browser.post("/api/v1/auth/logout").status_code == 204
