"""Migrating an older database keeps its webhook secrets, pseudonyms and invitation links, all of which were
derived from SECRET_KEY."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.signing import Signer
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone
from django.utils.crypto import salted_hmac

from annotation.accounts.tokens import digest_of
from annotation.datasets.pseudonyms import Pseudonyms
from annotation.models import Invitation, Project, SiteKey, WebhookEndpoint
from config import keys
from config.keys import Use

BEFORE = ("annotation", "0006_kinds_of_rankings_supersede_their_own")
MIGRATIONS = (("annotation", "0007_keys"), ("annotation", "0008_only_stored_secrets"))
# The older schema is restored with SQL, because migrating an empty database to it would take 13 s. The test's
# transaction is rolled back.
TO_THE_OLDER_SCHEMA = """
    ALTER TABLE annotation_webhookendpoint DROP encrypted_secret, DROP encrypted_former_secret,
        ADD secret_version integer NOT NULL DEFAULT 1;
    ALTER TABLE annotation_invitation DROP digest;
    DROP TABLE annotation_sitekey;
    DROP TABLE annotation_accountevent;
"""


@pytest.fixture
def older(db: None) -> tuple[Any, Callable[[], None]]:
    """The models as they were before the database stored secrets, and a function that runs the migrations
    that store the secrets."""
    loader = MigrationLoader(connection)
    with connection.cursor() as cursor:
        cursor.execute(TO_THE_OLDER_SCHEMA)

    def migrate() -> None:
        with connection.cursor() as cursor:
            # Postgres refuses to alter a table that has pending foreign-key checks.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        state = loader.project_state(BEFORE)
        for key in MIGRATIONS:
            with connection.schema_editor() as editor:
                state = loader.get_migration(*key).apply(state, editor)

    return loader.project_state(BEFORE).apps, migrate


def _derived(salt: str, value: str) -> bytes:
    return salted_hmac(salt, value, algorithm="sha256").digest()


def test_existing_secrets_and_pseudonyms_and_links_stay_valid(older: tuple[Any, Callable[[], None]]) -> None:
    apps, migrate = older
    user = apps.get_model("annotation", "User").objects.create(username="alice")
    project = apps.get_model("annotation", "Project").objects.create(slug="old", name="Old")
    endpoint = apps.get_model("annotation", "WebhookEndpoint").objects.create(
        project=project, url="https://example.org/", events=["task.finished"], secret_version=3
    )
    invitation = apps.get_model("annotation", "Invitation").objects.create(
        project=project, role="annotator", expires_at=timezone.now() + timedelta(days=3)
    )
    token = Signer(salt="annotation.invitation", sep=".").sign(invitation.pk.hex)

    migrate()

    found = WebhookEndpoint.objects.get()
    for encrypted, version in ((found.encrypted_secret, 3), (found.encrypted_former_secret, 2)):
        derived = _derived("annotation.webhooks", f"{endpoint.pk}:{version}")
        secret = keys.decrypt(Use.WEBHOOK_SECRET, encrypted)
        assert secret == f"whsec_{base64.b64encode(derived).decode()}"
    assert Invitation.objects.get(digest=digest_of(token)).pk == invitation.pk
    alice = _derived("rankloop.annotator", f"{project.pk}:user:{user.pk}").hex()
    names = Pseudonyms(Project.objects.get())
    assert names.of(annotator_id=user.pk, label="") == f"annotator-{alice[:12]}"


def test_new_database_gets_a_random_pseudonym_key(older: tuple[Any, Callable[[], None]]) -> None:
    _, migrate = older
    migrate()
    key = base64.b64decode(keys.decrypt(Use.SITE_KEY, SiteKey.objects.get().encrypted))
    assert len(key) == 32
    assert key != hashlib.sha256(b"rankloop.annotator" + settings.SECRET_KEY.encode()).digest()
