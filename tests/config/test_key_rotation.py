"""Everything that is encrypted or signed with SECRET_KEY survives a change of the key. A test fails if a new
use of the key has no case in this file."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from annotation.accounts.invitations import invite
from annotation.accounts.login import allauth_internals, resets
from annotation.accounts.login.devices import COOKIE, known_device, note_login, remember_device
from annotation.accounts.login.sessions import SessionStore
from annotation.accounts.tokens import create_token
from annotation.datasets.pseudonyms import Pseudonyms
from annotation.models import AuditEntry, Project, User
from annotation.webhooks.endpoints import create_endpoint
from annotation.webhooks.signing import signatures
from config import keys
from config.keys import ENCRYPTED, EXPIRING, SIGNED, Unreadable, Use
from config.problems import Problem
from tests.annotation.accounts.browser import CODE, ME, Browser, code_at
from tests.annotation.key_rotation.changing import change_key
from tests.conftest import PASSWORD

pytestmark = pytest.mark.usefixtures("empty_cache")

Works = Callable[[], bool]
# A Fernet token begins with the version byte 0x80 and zero bytes of the timestamp: `gAAAAA` in base64.
ENCRYPTED_TEXT = re.compile(r"gAAAAA[\w-]{60,}={0,2}")


@pytest.fixture
def alice(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def _second_factor(project: Project, alice: User) -> Works:
    secret = base64.b32encode(secrets.token_bytes(20)).decode()
    allauth_internals.activate_totp(alice, secret)
    codes = allauth_internals.new_recovery_codes(alice)
    # Each code works only once. The second login therefore uses the code of the next half minute, which is
    # also valid.
    ahead = [0, 30]

    def works() -> bool:
        statuses = []
        for code in (code_at(secret, time.time() + ahead.pop(0)), codes.pop()):
            browser = Browser()
            assert browser.log_in() == 202
            statuses.append(browser.post(CODE, code=code).status_code)
        assert statuses[0] == statuses[1] < 500
        return statuses[0] == 200

    return works


def _webhook(project: Project, alice: User) -> Works:
    endpoint, secret = create_endpoint(
        project=project, url="https://example.org/hook", events=["task.finished"]
    )

    def works() -> bool:
        endpoint.refresh_from_db()
        at = datetime.now(UTC)
        try:
            signed = signatures(endpoint=endpoint, message_id="msg_1", at=at, body="{}")
            headers = {"id": "msg_1", "timestamp": str(int(at.timestamp())), "signature": signed}
            Webhook(secret).verify("{}", {f"webhook-{name}": value for name, value in headers.items()})
        except (Unreadable, WebhookVerificationError):
            return False
        return True

    return works


def _pseudonyms(project: Project, alice: User) -> Works:
    before = Pseudonyms(project).of(annotator_id=alice.pk, label="")

    def works() -> bool:
        try:
            return Pseudonyms(project).of(annotator_id=alice.pk, label="") == before
        except Problem:
            return False

    return works


def _session(project: Project, alice: User) -> Works:
    browser = APIClient()
    browser.force_login(alice)
    session = browser.session
    session["kept"] = True
    session.save()

    def works() -> bool:
        # A page sends two requests before the browser has received a response to either.
        first, second = APIClient(), APIClient()
        for client in (first, second):
            client.cookies = browser.cookies.copy()
        statuses = {client.get(ME).status_code for client in (first, second)}
        assert len(statuses) == 1, "both requests get the same status"
        return statuses == {200} and SessionStore(session.session_key).get("kept") is True

    return works


def _reset_link(project: Project, alice: User) -> Works:
    token = resets.create_reset_token(user=alice)

    def works() -> bool:
        answer = Browser().post("/api/v1/auth/reset", token=token, password="staple battery horse")
        assert answer.status_code in {200, 410}
        return bool(answer.status_code == 200)

    return works


def _known_device(project: Project, alice: User) -> Works:
    request: Any = RequestFactory().get("/")
    note_login(User, request, alice)
    response = remember_device(lambda _: HttpResponse())(request)
    request.COOKIES[COOKIE] = response.cookies[COOKIE].value

    def works() -> bool:
        return known_device(request, alice.username) is not None

    return works


CASES: dict[Use, Callable[[Project, User], Works]] = {
    Use.SECOND_FACTOR: _second_factor,
    Use.WEBHOOK_SECRET: _webhook,
    Use.SITE_KEY: _pseudonyms,
    Use.SESSION: _session,
    Use.RESET_LINK: _reset_link,
    Use.KNOWN_DEVICE: _known_device,
}


def test_each_use_of_the_key_is_tested_and_belongs_to_one_category() -> None:
    assert set(CASES) == set(Use)
    assert sorted([*ENCRYPTED, *SIGNED, *EXPIRING]) == sorted(Use)


@pytest.mark.parametrize("use", Use)
def test_everything_still_works_if_the_old_key_is_the_fallback_of_a_new_key(
    use: Use, project: Project, alice: User, settings: Settings
) -> None:
    works = CASES[use](project, alice)
    change_key(settings, fallback=True)
    assert works()
    assert works() is (use is not Use.RESET_LINK), "everything except a reset link works more than once"


@pytest.mark.parametrize("use", sorted(ENCRYPTED | SIGNED))
def test_stored_values_survive_removal_of_the_old_key_after_reencryption(
    use: Use, project: Project, alice: User, settings: Settings
) -> None:
    works = CASES[use](project, alice)
    change_key(settings, fallback=True)
    call_command("reencrypt_secrets")
    settings.SECRET_KEY_FALLBACKS = []
    assert works()
    assert works()


@pytest.mark.parametrize("use", Use)
def test_nothing_fails_without_an_explanation_if_the_old_key_is_lost(
    use: Use, project: Project, alice: User, settings: Settings
) -> None:
    works = CASES[use](project, alice)
    change_key(settings, fallback=False)
    assert not works()


def test_values_independent_of_the_key_survive_its_loss(
    project: Project, alice: User, settings: Settings
) -> None:
    _, token = create_token(user=alice, name="script")
    _, invitation = invite(project=project, role="annotator")
    change_key(settings, fallback=False)
    assert APIClient(headers={"Authorization": f"Bearer {token}"}).get(ME).status_code == 200
    assert APIClient().post("/api/v1/auth/invitation", {"token": invitation}).status_code == 200
    assert Browser().log_in() == 200


def test_login_form_opened_before_a_change_of_the_key_still_works(alice: User, settings: Settings) -> None:
    """The CSRF token does not depend on the key."""
    browser = Browser()
    browser.api.get(ME)
    token = browser.api.cookies["csrftoken"].value
    change_key(settings, fallback=False)
    body = {"username": "alice", "password": PASSWORD}
    assert browser.api.post("/api/v1/auth/login", body, headers={"X-CSRFToken": token}).status_code == 200


def test_nothing_in_the_database_needs_the_old_key_after_reencryption(
    project: Project, alice: User, settings: Settings
) -> None:
    """The test searches all text in the database, so it finds secrets in new places that the command
    misses."""
    for make in CASES.values():
        make(project, alice)
    old = change_key(settings, fallback=True)
    new = settings.SECRET_KEY
    found = set(_readable_with(old, settings))
    assert {table for table, _ in found} == {
        "mfa_authenticator",
        "annotation_webhookendpoint",
        "annotation_sitekey",
        "django_session",
    }
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = new, [old]
    call_command("reencrypt_secrets")
    assert set(_readable_with(old, settings)) == set()
    assert set(_readable_with(new, settings)) == found


def _readable_with(key: str, settings: Settings) -> Iterator[tuple[str, str]]:
    """The tables and columns that contain text encrypted or signed with this key."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = key, []
    for data in Session.objects.values_list("session_data", flat=True):
        if SessionStore().decode(data):
            yield "django_session", "session_data"
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            " AND data_type IN ('text', 'character varying', 'jsonb', 'json', 'ARRAY')"
        )
        for table, column in cursor.fetchall():
            cursor.execute(f'SELECT "{column}"::text FROM "{table}" WHERE "{column}"::text LIKE \'%gAAAAA%\'')
            for (text,) in cursor.fetchall():
                for encrypted in ENCRYPTED_TEXT.findall(text):
                    if any(_decrypts(use, encrypted) for use in Use):
                        yield table, column


def _decrypts(use: Use, encrypted: str) -> bool:
    try:
        keys.decrypt(use, encrypted)
    except Unreadable:
        return False
    return True


def test_writes_in_a_session_older_than_the_key_are_attributed_to_the_user(
    project: Project, mona: User, settings: Settings
) -> None:
    browser = APIClient()
    browser.force_login(mona)
    change_key(settings, fallback=True)
    assert browser.patch("/api/v1/projects/support/", {"name": "Renamed"}).status_code == 200
    assert AuditEntry.objects.filter(table="annotation_project").latest("id").actor == f"user:{mona.pk}"


def test_logging_in_again_creates_a_new_session_cookie(alice: User, settings: Settings) -> None:
    """A session keeps its cookie if SECRET_KEY is replaced and the old key becomes a fallback. A login always
    creates a new cookie, to prevent session fixation."""
    browser = Browser()
    session = browser.api.session
    session["planted"] = True
    session.save()
    change_key(settings, fallback=True)
    assert browser.log_in() == 200
    assert browser.api.cookies["sessionid"].value != session.session_key
