"""If no key can decrypt a second factor, the error at login explains the problem, and the audit log records
it. Such a factor never grants access, and an administrator can reset it."""

from __future__ import annotations

import base64
import secrets
import time
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.login import allauth_internals
from annotation.database.acting import acting_as
from annotation.models import AuditEntry, User
from tests.annotation.accounts.browser import CODE, Browser, code_at
from tests.annotation.key_rotation.changing import change_key
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
SECRET = base64.b32encode(secrets.token_bytes(20)).decode()


@pytest.fixture
def codes(alice: User) -> list[str]:
    alice.set_password(PASSWORD)
    alice.save()
    allauth_internals.activate_totp(alice, SECRET)
    return allauth_internals.new_recovery_codes(alice)


def _log_in(code: str) -> tuple[int, str, str]:
    browser = Browser()
    assert browser.log_in() == 202
    answer = browser.post(CODE, code=code)
    assert browser.in_() is (answer.status_code == 200)
    body = answer.json()
    return answer.status_code, body.get("type", ""), body.get("detail", "")


def test_unreadable_second_factor_is_explained_at_login(codes: list[str], settings: Settings) -> None:
    change_key(settings, fallback=False)
    for code in (code_at(SECRET, time.time()), codes[0], "000000"):
        status, type, detail = _log_in(code)
        assert (status, type) == (409, "second-factor-unreadable")
        assert detail.startswith("Your second factor can't be read")
        assert "Ask an administrator to reset your second factor." in detail


def test_unreadable_second_factor_is_recorded_at_most_once_an_hour(
    codes: list[str], alice: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    change_key(settings, fallback=False)
    for _ in range(8):
        assert _log_in("000000")[0] == 409, "these attempts are not counted as guesses"
    # The audit log also contains entries from earlier tests.
    entry = AuditEntry.objects.get(
        table="annotation_accountevent", action="insert", after__user_id=str(alice.pk)
    )
    assert entry.after is not None
    assert (entry.after["kind"], entry.after["user_id"]) == ("second-factor-unreadable", str(alice.pk))
    assert f"The second factor of user {alice.pk} can't be decrypted." in caplog.text


def test_readable_part_of_a_second_factor_still_works(codes: list[str], settings: Settings) -> None:
    """The recovery codes were created after the loss of the key, so only the app's secret is unreadable."""
    change_key(settings, fallback=False)
    alice = User.objects.get(username="alice")
    Authenticator.objects.filter(type=Authenticator.Type.RECOVERY_CODES).delete()
    fresh = allauth_internals.new_recovery_codes(alice)
    assert _log_in(fresh[0])[0] == 200
    status, type, detail = _log_in(code_at(SECRET, time.time()))
    assert (status, type) == (409, "second-factor-unreadable")
    assert "A recovery code still works." in detail
    assert [_log_in("000000")[0] for _ in range(5)] == [409] * 4 + [429], "guesses are limited"


def test_account_page_shows_that_the_second_factor_is_unreadable(
    codes: list[str], alice: User, settings: Settings
) -> None:
    change_key(settings, fallback=False)
    browser = APIClient()
    browser.force_login(alice)
    shown = browser.get("/api/v1/account/").json()["second_factor"]
    assert shown == {"enabled": True, "recovery_codes_left": 0, "unreadable": True}
    for url in ("/api/v1/account/second-factor/disable", "/api/v1/account/recovery-codes"):
        answer = browser.post(url, {"code": codes[0]})
        assert (answer.status_code, answer.json()["type"]) == (409, "second-factor-unreadable")
    assert Authenticator.objects.filter(user=alice).count() == 2


def test_administrator_resets_the_second_factor(codes: list[str], alice: User, settings: Settings) -> None:
    change_key(settings, fallback=False)
    out = StringIO()
    with acting_as("command:root:set_user"):
        call_command("set_user", "alice", "--reset-second-factor", stdout=out)
    assert "The second factor of alice is off now" in out.getvalue()
    assert Browser().log_in() == 200
    entries = AuditEntry.objects.filter(table="mfa_authenticator", action="delete")
    assert [entry.actor for entry in entries] == ["command:root:set_user"] * 2
