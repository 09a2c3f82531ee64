"""`reencrypt_secrets` can be stopped, repeated and run while the site is in use. The command lists unreadable
values."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings
from rest_framework.test import APIClient

from annotation.accounts.login import allauth_internals
from annotation.datasets.pseudonyms import Pseudonyms
from annotation.key_rotation import kinds, reencrypt
from annotation.models import AuditEntry, Project, SiteKey, User, WebhookEndpoint
from annotation.webhooks.endpoints import create_endpoint, rotate_secret
from config.problems import Problem
from tests.annotation.key_rotation.changing import change_key

CLEAN = {"unreadable": 0, "busy": 0, "owners_of_unreadable": []}
SECRETS = ("second factor", "webhook secret", "site key", "session")


@pytest.fixture
def stored(project: Project, alice: User, ben: User) -> str:
    """Stores two second factors, a webhook with a former secret, the pseudonym key and a session. Returns
    the webhook's secret."""
    for user in (alice, ben):
        allauth_internals.activate_totp(user, "A" * 32)
    endpoint, _ = create_endpoint(
        project=project, url="https://example.org/hook?token=42", events=["task.finished"]
    )
    _, secret = rotate_secret(endpoint=endpoint)
    Pseudonyms(project).of(annotator_id=alice.pk, label="")
    APIClient().force_login(alice)
    return secret


def _run(*options: str) -> tuple[str, Any]:
    out, document = StringIO(), StringIO()
    call_command("reencrypt_secrets", *options, "--dry-run", "--json", stdout=document)
    call_command("reencrypt_secrets", *options, stdout=out)
    return out.getvalue(), json.loads(document.getvalue())["kinds"]


def _everything() -> dict[str, Any]:
    return {
        "authenticators": list(Authenticator.objects.order_by("pk").values_list("data")),
        "webhooks": list(WebhookEndpoint.objects.values_list("encrypted_secret", "encrypted_former_secret")),
        "keys": list(SiteKey.objects.values_list("encrypted")),
        "sessions": list(Session.objects.values_list("session_data")),
    }


def test_second_run_changes_nothing(stored: str, settings: Settings) -> None:
    change_key(settings, fallback=True)
    before = _everything()
    text, planned = _run()
    assert planned == {
        use: {"reencrypted": 2 if use == "second factor" else 1, "current": 0} | CLEAN for use in SECRETS
    }
    assert "second factors: 2 re-encrypted, 0 already current, 0 unreadable" in text
    after = _everything()
    assert all(before[name] != after[name] for name in after)
    text, planned = _run()
    assert [planned[use]["current"] for use in SECRETS] == [2, 1, 1, 1]
    assert "second factors: 0 re-encrypted, 2 already current, 0 unreadable" in text
    assert _everything() == after


def test_dry_run_changes_nothing(stored: str, settings: Settings) -> None:
    change_key(settings, fallback=True)
    before = _everything()
    out = StringIO()
    call_command("reencrypt_secrets", "--dry-run", stdout=out)
    assert "second factors: 2 would be re-encrypted" in out.getvalue()
    assert _everything() == before


def test_stopped_run_keeps_its_progress(
    stored: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_key(settings, fallback=True)

    class Stopped(kinds.SecondFactors):
        def renewed(self, row: Authenticator) -> Mapping[str, Any]:
            if row.user.username == "ben":
                raise KeyboardInterrupt
            return super().renewed(row)

    monkeypatch.setattr(reencrypt, "KINDS", (Stopped,))
    with pytest.raises(KeyboardInterrupt):
        reencrypt.reencrypt()
    monkeypatch.undo()
    (count,) = [each for each in reencrypt.reencrypt() if each.kind.use == "second factor"]
    assert (count.renewed, count.current) == (1, 1)


def test_change_made_during_the_run_is_not_lost(
    alice: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user uses a recovery code after the command has read the row and before it writes the row."""
    codes = allauth_internals.new_recovery_codes(alice)
    change_key(settings, fallback=True)

    class Meanwhile(kinds.SecondFactors):
        def renewed(self, row: Authenticator) -> Mapping[str, Any]:
            columns = super().renewed(row)
            if row.data["used_mask"] == 0:
                assert allauth_internals.use_recovery_code(Authenticator.objects.get(), codes[0])
            return columns

    monkeypatch.setattr(reencrypt, "KINDS", (Meanwhile,))
    (count,) = reencrypt.reencrypt()
    assert (count.renewed, count.busy) == (1, 0)
    settings.SECRET_KEY_FALLBACKS = []
    assert not allauth_internals.use_recovery_code(Authenticator.objects.get(), codes[0])
    assert allauth_internals.use_recovery_code(Authenticator.objects.get(), codes[1])


def test_many_rows_are_read_in_batches(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    users = User.objects.bulk_create([User(username=f"user-{number}") for number in range(7)])
    for user in users:
        allauth_internals.activate_totp(user, "A" * 32)
        APIClient().force_login(user)
    monkeypatch.setattr(reencrypt, "BATCH_ROWS", 3)
    change_key(settings, fallback=True)
    counts = {each.kind.use: each.renewed for each in reencrypt.reencrypt()}
    assert (counts["second factor"], counts["session"]) == (7, 7)


def test_unreadable_values_are_listed_by_owner_and_never_shown(
    stored: str, settings: Settings, project: Project
) -> None:
    change_key(settings, fallback=False)
    before = _everything()
    text, planned = _run()
    assert {use: (count["reencrypted"], count["unreadable"]) for use, count in planned.items()} == {
        use: (0, 2 if use == "second factor" else 1) for use in SECRETS
    }
    for name in ("alice", "ben"):
        assert f"Unreadable second factor: {name}. " in text
        assert f"manage.py set_user {name} --reset-second-factor" in text
    assert f"Unreadable webhook secret: support, webhook {WebhookEndpoint.objects.get().pk}. Ask" in text
    assert "Unreadable site key: pseudonyms. " in text
    assert "1 unreadable sessions. These sessions have ended." in text
    for hidden in (stored, "token=42", "gAAAAA"):
        assert hidden not in text + json.dumps(planned)
    assert _everything() == before, "unreadable values are kept, because the key may be found again"


def test_unreadable_pseudonym_key_prevents_snapshots_until_it_is_replaced(
    stored: str, settings: Settings, project: Project, alice: User
) -> None:
    before = Pseudonyms(project).of(annotator_id=alice.pk, label="")
    with pytest.raises(CommandError, match="can be read, so it is not replaced"):
        call_command("reencrypt_secrets", "--new-pseudonyms")
    change_key(settings, fallback=False)
    with pytest.raises(Problem, match="--new-pseudonyms"):
        Pseudonyms(project).of(annotator_id=alice.pk, label="")
    call_command("reencrypt_secrets", "--new-pseudonyms", stdout=StringIO())
    assert Pseudonyms(project).of(annotator_id=alice.pk, label="") != before


def test_audit_log_records_the_run_without_the_secrets(stored: str, settings: Settings) -> None:
    change_key(settings, fallback=True)
    call_command("reencrypt_secrets", stdout=StringIO())
    changed = AuditEntry.objects.filter(action="update").values_list("table", flat=True)
    assert {"mfa_authenticator", "annotation_webhookendpoint", "annotation_sitekey"} <= set(changed)
    assert "gAAAAA" not in str(list(AuditEntry.objects.values()))


@pytest.mark.django_db(transaction=True)
def test_documented_rotation_with_key_files_works(
    test_database: None, project: Project, alice: User, settings: Settings, tmp_path: Path
) -> None:
    """Follows the steps in docs/accounts.md, in separate processes."""
    codes = allauth_internals.new_recovery_codes(alice)
    new = secrets.token_urlsafe(48)
    files = {"SECRET_KEY": new, "SECRET_KEY_FALLBACKS": str(settings.SECRET_KEY)}
    for name, key in files.items():
        (tmp_path / name).write_text(f"{key}\n")
    variables = {f"{name}_FILE": str(tmp_path / name) for name in files}
    ran = subprocess.run(
        [sys.executable, "manage.py", "reencrypt_secrets", "--json"],
        cwd=django_settings.BASE_DIR,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["kinds"]["second factor"] == {"reencrypted": 1, "current": 0} | CLEAN
    settings.SECRET_KEY = new
    assert allauth_internals.use_recovery_code(Authenticator.objects.get(), codes[0])
