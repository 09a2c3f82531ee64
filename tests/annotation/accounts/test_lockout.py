"""Guessing passwords is slow, even from many addresses. A guesser can't lock the owner out of an account."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.cache import cache
from django.test import RequestFactory
from rest_framework.test import APIClient

from annotation.accounts.login import limits
from annotation.accounts.login.devices import COOKIE, MAX_ACCOUNTS
from annotation.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
LOGIN, CODE, ME = (f"/api/v1/auth/{name}" for name in ("login", "login/code", "me"))


@pytest.fixture(autouse=True)
def passwords(alice: User, ben: User) -> None:
    for user in (alice, ben):
        user.set_password(PASSWORD)
        user.save()
    # Otherwise, the limit across all addresses would not apply for an hour after the password change.
    cache.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """clock(seconds): advances the clock that the limits use."""
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr("allauth.core.internal.ratelimit.time.time", lambda: real() + ahead[0])

    def advance(seconds: float) -> None:
        ahead[0] += seconds

    return advance


class Browser:
    def __init__(self, address: str = "198.51.100.1") -> None:
        self.api = APIClient(enforce_csrf_checks=True, REMOTE_ADDR=address)

    def post(self, url: str, **body: str) -> Any:
        self.api.get(ME)
        return self.api.post(url, body, headers={"X-CSRFToken": self.api.cookies["csrftoken"].value})

    def log_in(self, password: str = PASSWORD, username: str = "alice") -> int:
        return int(self.post(LOGIN, username=username, password=password).status_code)

    def log_out(self) -> None:
        assert self.post("/api/v1/auth/logout").status_code == 204


def known_browser(username: str = "alice") -> Browser:
    browser = Browser("192.0.2.1")
    assert browser.log_in(username=username) == 200
    browser.log_out()
    return browser


def use_up_the_limit() -> None:
    """Uses up the limit for Alice's account across all addresses, as an attack from many addresses would."""
    request = RequestFactory().get("/")
    for number in range(101):
        request.META["REMOTE_ADDR"] = f"203.0.113.{number}"
        *_, across_addresses = limits.password_limits(request, "alice")
        last = across_addresses.use(request)
    assert last is None


def test_guesses_from_many_addresses_are_limited_and_do_not_lock_the_owner_out() -> None:
    mine = known_browser()
    statuses = {Browser(f"203.0.113.{number}").log_in("guess") for number in range(100)}
    assert statuses == {400}
    assert Browser("198.51.100.9").log_in() == 429  # a new device is locked out, even with the right password
    assert mine.log_in() == 200
    assert known_browser("ben").log_in(username="ben") == 200


def test_distributed_guessing_stays_slow(clock: Callable[[float], None]) -> None:
    request = RequestFactory().get("/")
    guesses = 0
    for _hour in range(12):
        *_, per_day, per_hour = limits.password_limits(request, "alice")
        while per_day.use(request) and per_hour.use(request):
            guesses += 1
        clock(3601)
    assert 290 <= guesses <= 300


def test_known_device_has_its_own_limit() -> None:
    mine = known_browser()
    assert [mine.log_in(f"guess {n}") for n in range(11)] == [400] * 10 + [429]
    assert mine.log_in() == 429
    assert Browser().log_in() == 200


def test_delay_grows_from_a_minute_to_a_day(clock: Callable[[float], None]) -> None:
    browser, waits = Browser(), []
    for _ in range(6):
        while (answer := browser.post(LOGIN, username="alice", password="guess")).status_code == 400:
            pass
        waits.append(int(answer["Retry-After"]))
        clock(waits[-1] + 1)
    assert waits == [60, 60, 3600, 60, 60, 24 * 3600]


def test_forged_device_cookie_does_not_bypass_the_limit() -> None:
    cookie = known_browser().api.cookies[COOKIE].value
    use_up_the_limit()
    for forged in ("", "x", "a:b:c", f"{cookie}x", f"x{cookie}", "%00", "9" * 5000):
        stranger = Browser()
        stranger.api.cookies[COOKIE] = forged
        assert stranger.log_in() == 429
    stranger.api.cookies[COOKIE] = cookie
    assert stranger.log_in() == 200


def test_device_is_known_only_for_the_accounts_that_logged_in_on_it() -> None:
    browser = known_browser("ben")
    use_up_the_limit()
    assert browser.log_in(username="alice") == 429
    assert browser.log_in(username="ben") == 200


def test_device_is_known_for_several_accounts(alice: User) -> None:
    browser = known_browser()
    for number in range(MAX_ACCOUNTS - 1):
        User.objects.create_user(f"user-{number}", password=PASSWORD)
        assert browser.log_in(username=f"user-{number}") == 200
        browser.log_out()
    use_up_the_limit()
    assert browser.log_in() == 200


def test_device_cookie_does_not_grant_access_and_is_hidden_from_scripts() -> None:
    browser = known_browser()
    assert browser.api.get(ME).status_code == 401
    cookie = browser.api.cookies[COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (
        True,
        "Lax",
        settings.SESSION_COOKIE_SECURE or "",
    )
    assert "alice" not in cookie.value


def test_failed_login_does_not_make_a_device_known() -> None:
    browser = Browser()
    assert browser.log_in("guess") == 400
    assert COOKIE not in browser.api.cookies


def test_new_password_during_an_attack_lets_the_owner_in_on_a_new_device(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_up_the_limit()
    alice.set_password("staple battery horse")
    alice.save()
    attack_goes_on = Browser("203.0.113.250")
    assert attack_goes_on.log_in("guess") == 400
    new = Browser("198.51.100.9")
    assert new.log_in("staple battery horse") == 200
    new.log_out()
    cache.delete(limits._open_key("alice"))  # an hour later
    assert Browser("198.51.100.10").log_in("staple battery horse") == 429
    assert new.log_in("staple battery horse") == 200


def test_login_limit_does_not_block_a_password_change_in_a_session() -> None:
    mine = Browser("192.0.2.1")
    assert mine.log_in() == 200
    use_up_the_limit()
    changed = mine.post("/api/v1/account/password", current=PASSWORD, new="staple battery horse")
    assert changed.status_code == 204


def test_stranger_who_knows_the_password_cannot_use_up_codes_of_the_owner(alice: User) -> None:
    mine = known_browser()
    Authenticator.objects.create(user=alice, type="totp", data={"secret": get_adapter().encrypt("JBSWY3DP")})
    stranger = Browser()
    assert stranger.log_in() == 202
    assert [stranger.post(CODE, code="1").status_code for _ in range(6)] == [400] * 5 + [429]
    assert mine.log_in() == 202
    assert mine.post(CODE, code="1").status_code == 400
