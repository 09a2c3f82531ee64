"""The optional second factor: enrolment, login, recovery codes and removal."""

from __future__ import annotations

import base64
import time
from xml.etree import ElementTree

import pytest
from allauth.mfa.models import Authenticator
from django.core.cache import cache
from rest_framework.test import APIClient

from annotation.models import User
from tests.annotation.accounts.browser import CODE, LOGIN, ME, Browser, code_at
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
FACTOR = "/api/v1/account/second-factor"
NEW_CODES = "/api/v1/account/recovery-codes"


def test_codes_in_the_tests_match_the_examples_in_the_rfc() -> None:
    """The expected codes are the last six of the eight digits in RFC 6238, appendix B."""
    secret = base64.b32encode(b"12345678901234567890").decode()
    given = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {seconds: code_at(secret, seconds) for seconds in given} == given


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The clock used to verify codes; tests can advance it."""
    now = {"now": time.time()}
    monkeypatch.setattr("allauth.mfa.totp.internal.auth.time.time", lambda: now["now"])
    return now


@pytest.fixture
def browser() -> Browser:
    return Browser()


@pytest.fixture
def enrolled(alice: User, browser: Browser, clock: dict[str, float]) -> tuple[str, list[str]]:
    """Enrols Alice and returns her secret and recovery codes."""
    assert browser.log_in() == 200
    secret = browser.post(FACTOR, password=PASSWORD).json()["secret"]
    answer = browser.post(f"{FACTOR}/confirm", code=code_at(secret, clock["now"]))
    assert answer.status_code == 200
    clock["now"] += 120
    return secret, answer.json()["recovery_codes"]


def test_second_factor_is_enabled_only_after_a_correct_code(
    alice: User, browser: Browser, clock: dict[str, float]
) -> None:
    browser.log_in()
    begun = browser.post(FACTOR, password=PASSWORD).json()
    assert begun["uri"].startswith(f"otpauth://totp/alice?secret={begun['secret']}&issuer=Rankloop")
    assert ElementTree.fromstring(begun["qr_svg"]).tag.endswith("svg")
    wrong = browser.post(f"{FACTOR}/confirm", code="000000")
    assert (wrong.status_code, wrong.json()["type"]) == (400, "wrong-code")
    assert not Authenticator.objects.exists()
    assert Browser().log_in() == 200
    right = browser.post(f"{FACTOR}/confirm", code=code_at(begun["secret"], clock["now"]))
    assert len(set(right.json()["recovery_codes"])) == 10
    said = browser.api.get("/api/v1/account/").json()["second_factor"]
    assert said == {"enabled": True, "recovery_codes_left": 10, "unreadable": False}


def test_enrolment_requires_the_password(alice: User, browser: Browser) -> None:
    browser.log_in()
    answer = browser.post(FACTOR, password="not it")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "password")


def test_code_without_an_enrolment_is_refused(alice: User, browser: Browser) -> None:
    browser.log_in()
    assert browser.post(f"{FACTOR}/confirm", code="123456").json()["type"] == "no-enrolment"


def test_password_alone_does_not_log_the_user_in(
    enrolled: tuple[str, list[str]], clock: dict[str, float]
) -> None:
    fresh = Browser()
    answer = fresh.post(LOGIN, username="alice", password=PASSWORD)
    assert (answer.status_code, answer.json()) == (202, {"next_step": "code"})
    assert not fresh.in_()
    before = fresh.api.cookies["sessionid"].value
    logged_in = fresh.post(CODE, code=code_at(enrolled[0], clock["now"]))
    assert (logged_in.status_code, logged_in.json()["username"]) == (200, "alice")
    assert fresh.in_()
    assert fresh.api.cookies["sessionid"].value != before


@pytest.mark.parametrize(("drift", "status"), [(-30, 200), (30, 200), (-60, 400), (60, 400)])
def test_clock_may_differ_by_half_a_minute_but_not_by_a_minute(
    enrolled: tuple[str, list[str]], clock: dict[str, float], drift: int, status: int
) -> None:
    fresh = Browser()
    fresh.log_in()
    assert fresh.post(CODE, code=code_at(enrolled[0], clock["now"] + drift)).status_code == status


def test_code_works_only_once(enrolled: tuple[str, list[str]], clock: dict[str, float]) -> None:
    code = code_at(enrolled[0], clock["now"])
    first, second = Browser(), Browser()
    first.log_in()
    second.log_in()
    assert first.post(CODE, code=f"{code[:3]} {code[3:]}").status_code == 200
    clock["now"] += 29
    assert second.post(CODE, code=code).status_code == 400


def test_recovery_code_works_only_once(enrolled: tuple[str, list[str]]) -> None:
    for status in (200, 400):
        fresh = Browser()
        fresh.log_in()
        assert fresh.post(CODE, code=enrolled[1][3]).status_code == status
    state = Browser()
    state.log_in()
    state.post(CODE, code=enrolled[1][4])
    assert state.api.get("/api/v1/account/").json()["second_factor"]["recovery_codes_left"] == 8


def test_guessing_codes_is_limited_per_account(
    enrolled: tuple[str, list[str]], clock: dict[str, float]
) -> None:
    statuses = []
    for _ in range(6):
        fresh = Browser()
        fresh.log_in()
        statuses.append(fresh.post(CODE, code="000000").status_code)
    assert statuses == [400] * 5 + [429]
    fresh = Browser()
    fresh.log_in()
    assert fresh.post(CODE, code=code_at(enrolled[0], clock["now"])).status_code == 429
    cache.clear()
    assert fresh.post(CODE, code=code_at(enrolled[0], clock["now"])).status_code == 200


def test_code_without_a_password_is_refused(enrolled: tuple[str, list[str]], clock: dict[str, float]) -> None:
    answer = Browser().post(CODE, code=code_at(enrolled[0], clock["now"]))
    assert (answer.status_code, answer.json()["type"]) == (409, "no-login-begun")


def test_second_login_step_expires_after_15_minutes(
    enrolled: tuple[str, list[str]], clock: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = Browser()
    fresh.log_in()
    later = time.time() + 16 * 60
    monkeypatch.setattr("allauth.account.internal.stagekit.time.time", lambda: later)
    assert fresh.post(CODE, code=code_at(enrolled[0], clock["now"])).status_code == 409


def test_user_deactivated_between_the_login_steps_is_refused(
    enrolled: tuple[str, list[str]], clock: dict[str, float]
) -> None:
    fresh = Browser()
    fresh.log_in()
    User.objects.update(is_active=False)
    assert fresh.post(CODE, code=code_at(enrolled[0], clock["now"])).status_code == 409


def test_disabling_the_second_factor_requires_a_code_and_removes_all_codes(
    enrolled: tuple[str, list[str]], browser: Browser, clock: dict[str, float]
) -> None:
    assert browser.post(f"{FACTOR}/disable", code="000000").status_code == 400
    code = code_at(enrolled[0], clock["now"])
    assert browser.post(f"{FACTOR}/disable", code=code).status_code == 204
    assert not Authenticator.objects.exists()
    assert Browser().log_in() == 200
    assert browser.post(f"{FACTOR}/disable", code=code).json()["type"] == "no-second-factor"


def test_new_recovery_codes_replace_the_old_ones(
    enrolled: tuple[str, list[str]], browser: Browser, clock: dict[str, float]
) -> None:
    fresh = browser.post(NEW_CODES, code=code_at(enrolled[0], clock["now"])).json()["recovery_codes"]
    assert not set(fresh) & set(enrolled[1])
    other = Browser()
    other.log_in()
    assert other.post(CODE, code=enrolled[1][0]).status_code == 400
    assert other.post(CODE, code=fresh[0]).status_code == 200


def test_second_enrolment_is_refused(enrolled: tuple[str, list[str]], browser: Browser) -> None:
    assert browser.post(FACTOR, password=PASSWORD).json()["type"] == "second-factor-enabled"


def test_database_contains_neither_the_secret_nor_the_codes(enrolled: tuple[str, list[str]]) -> None:
    stored = " ".join(str(row.data) for row in Authenticator.objects.all())
    assert enrolled[0] not in stored
    assert not [code for code in enrolled[1] if code in stored]


def test_api_token_needs_no_code_and_cannot_change_the_account(
    enrolled: tuple[str, list[str]], alice: User
) -> None:
    from annotation.accounts.tokens import create_token

    program = APIClient(headers={"Authorization": f"Bearer {create_token(user=alice, name='x')[1]}"})
    assert program.get(ME).status_code == 200
    for url in (f"{FACTOR}/disable", NEW_CODES, FACTOR):
        assert program.post(url, {"code": enrolled[1][0], "password": PASSWORD}).status_code == 403
