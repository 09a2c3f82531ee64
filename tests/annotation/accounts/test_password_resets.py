"""A reset link, which an administrator creates, sets a new password and logs the user in."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.login import allauth_internals, resets
from annotation.database.acting import acting_as
from annotation.models import AuditEntry, User
from tests.annotation.accounts.browser import CODE, LOGIN, ME, Browser
from tests.annotation.racing import at_once
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")
RESET = "/api/v1/auth/reset"
NEW = "staple battery horse"


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def _link(*options: str) -> str:
    out = StringIO()
    call_command("set_user", "alice", "--reset-link", "--json", *options, stdout=out)
    link: str = json.loads(out.getvalue())["reset_link"]
    return link


def _token() -> str:
    return _link().partition("#")[2]


def _reset(token: str, password: str = NEW) -> tuple[Browser, Any]:
    browser = Browser()
    return browser, browser.post(RESET, token=token, password=password)


def test_link_sets_a_password_and_logs_the_user_in_only_once(alice: User) -> None:
    token = _token()
    browser, answer = _reset(token)
    assert (answer.status_code, answer.json()["username"]) == (200, "alice")
    assert browser.in_()
    other, refused = _reset(token)
    assert (refused.status_code, refused.json()["type"]) == (410, "reset-link-over")
    assert not other.in_()
    assert Browser().post(LOGIN, username="alice", password=NEW).status_code == 200


def test_link_contains_the_address_of_the_site(alice: User, settings: Settings) -> None:
    assert _link().startswith("/reset#")
    settings.CSRF_TRUSTED_ORIGINS = ["https://rank.example.org", "https://other.example.org"]
    assert _link().startswith("https://rank.example.org/reset#")


def test_rejected_password_does_not_use_up_the_link(alice: User) -> None:
    token = _token()
    _, answer = _reset(token, "short")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "password")
    assert _reset(token)[1].status_code == 200


def test_new_password_ends_all_other_sessions(alice: User) -> None:
    there = Browser()
    there.log_in()
    assert _reset(_token())[1].status_code == 200
    assert not there.in_()


def test_link_still_requires_the_second_factor(alice: User) -> None:
    allauth_internals.activate_totp(alice, "A" * 32)
    codes = allauth_internals.new_recovery_codes(alice)
    browser, answer = _reset(_token())
    assert (answer.status_code, answer.json()) == (202, {"next_step": "code"})
    assert not browser.in_()
    assert browser.post(CODE, code="000000").status_code == 400
    assert browser.post(CODE, code=codes[0]).status_code == 200


def test_link_expires_after_a_day_or_at_the_next_login(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = _token(), _token()
    later = datetime.now() + timedelta(hours=24, minutes=1)
    monkeypatch.setattr(resets._signer, "_now", lambda: later)
    assert _reset(first)[1].status_code == 410
    monkeypatch.undo()
    Browser().log_in()
    assert _reset(second)[1].status_code == 410
    alice.refresh_from_db()
    assert alice.check_password(PASSWORD)


def test_malformed_and_altered_reset_tokens_are_refused(alice: User, ben: User) -> None:
    token = _token()
    id, _, signed = token.partition(".")
    for fake in ("x", id, f"{id}.", f"{ben.pk.hex}.{signed}", f"{token}x", "é.é", "."):
        assert _reset(fake)[1].status_code == 410, fake
    assert _reset("")[1].status_code == 422


def test_link_of_a_deactivated_account_is_refused(alice: User) -> None:
    token = _token()
    User.objects.update(is_active=False)
    assert _reset(token)[1].status_code == 410
    with pytest.raises(CommandError, match="deactivated"):
        _link()


def test_link_works_after_too_many_password_guesses(alice: User) -> None:
    for number in range(11):
        Browser().post(LOGIN, username="alice", password=f"guess {number}")
    assert Browser().log_in() == 429
    browser, answer = _reset(_token())
    assert answer.status_code == 200
    assert browser.in_()


def test_attempts_to_use_links_are_limited(alice: User) -> None:
    statuses = [_reset("x")[1].status_code for _ in range(31)]
    assert statuses == [410] * 30 + [429]


@pytest.mark.django_db(transaction=True)
def test_only_one_of_two_simultaneous_uses_of_a_link_succeeds(alice: User) -> None:
    token = _token()
    uses = [partial(_status_of, token, f"{NEW} {number}") for number in range(2)]
    assert sorted(at_once(uses)) == [200, 410]


def _status_of(token: str, password: str) -> int:
    return int(_reset(token, password)[1].status_code)


def test_audit_log_names_who_created_the_link_and_who_used_it(alice: User) -> None:
    with acting_as("command:root:set_user"):
        tokens = [_token(), _token()]
    _reset(tokens[1])
    # The audit log also contains entries from earlier tests.
    events = AuditEntry.objects.filter(
        table="annotation_accountevent", action="insert", after__user_id=str(alice.pk)
    )
    for created in events:
        assert created.after is not None
        assert (created.after["kind"], created.after["user_id"]) == ("reset-link-created", str(alice.pk))
        assert created.actor == "command:root:set_user"
    assert events.count() == 2
    used = AuditEntry.objects.filter(table="annotation_user", action="update").latest("id")
    assert used.actor == f"user:{alice.pk}"


def test_set_user_command_ends_sessions_and_reports_invalid_arguments(alice: User) -> None:
    browser = APIClient()
    browser.force_login(alice)
    call_command("set_user", "alice", "--end-sessions", stdout=StringIO())
    assert browser.get(ME).status_code == 401
    with pytest.raises(CommandError, match="Nothing to do"):
        call_command("set_user", "alice")
    with pytest.raises(CommandError, match="There is no user 'zoe'"):
        call_command("set_user", "zoe", "--end-sessions")
