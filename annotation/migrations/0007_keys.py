"""Encrypts the stored webhook secrets and the pseudonym key, and stores invitations as digests.

Until now, these values were derived from SECRET_KEY, so a new SECRET_KEY changed them. The existing secrets,
pseudonyms and invitation links stay valid.
"""

import base64
import hashlib
import secrets

import django.db.models.deletion
from django.conf import settings
from django.core.signing import Signer
from django.db import migrations, models
from django.db.models.functions import Now
from django.utils.crypto import salted_hmac

from config.keys import Use, encrypt


def _webhook_secret(id, version):
    key = salted_hmac("annotation.webhooks", f"{id}:{version}", algorithm="sha256").digest()
    return encrypt(Use.WEBHOOK_SECRET, "whsec_" + base64.b64encode(key).decode())


def _rows(apps, schema_editor, model):
    return apps.get_model("annotation", model).objects.using(schema_editor.connection.alias)


def store_webhook_secrets(apps, schema_editor):
    for row in _rows(apps, schema_editor, "WebhookEndpoint").all():
        row.encrypted_secret = _webhook_secret(row.pk, row.secret_version)
        if row.secret_version > 1:
            row.encrypted_former_secret = _webhook_secret(row.pk, row.secret_version - 1)
        row.save(update_fields=["encrypted_secret", "encrypted_former_secret"])


def store_invitation_digests(apps, schema_editor):
    signer = Signer(salt="annotation.invitation", sep=".")
    for row in _rows(apps, schema_editor, "Invitation").all():
        row.digest = hashlib.sha256(signer.sign(row.pk.hex).encode()).hexdigest()
        row.save(update_fields=["digest"])


def store_pseudonym_key(apps, schema_editor):
    if _rows(apps, schema_editor, "Project").exists():
        # The key that salted_hmac("rankloop.annotator", …) derives, so that pseudonyms stay the same.
        key = hashlib.sha256(b"rankloop.annotator" + settings.SECRET_KEY.encode()).digest()
    else:
        key = secrets.token_bytes(32)
    _rows(apps, schema_editor, "SiteKey").create(
        name="pseudonyms", encrypted=encrypt(Use.SITE_KEY, base64.b64encode(key).decode())
    )


class Migration(migrations.Migration):
    dependencies = [("annotation", "0006_kinds_of_rankings_supersede_their_own")]

    operations = [
        migrations.CreateModel(
            name="SiteKey",
            fields=[
                (
                    "name",
                    models.CharField(
                        choices=[("pseudonyms", "Pseudonyms")],
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("encrypted", models.TextField()),
                ("created_at", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.CreateModel(
            name="AccountEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("reset-link-created", "Reset Link Created"),
                            ("second-factor-unreadable", "Second Factor Unreadable"),
                        ],
                        max_length=40,
                    ),
                ),
                ("at", models.DateTimeField(db_default=Now())),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
        ),
        migrations.AddField("webhookendpoint", "encrypted_secret", models.TextField(default="")),
        migrations.AddField("webhookendpoint", "encrypted_former_secret", models.TextField(blank=True, default="")),
        migrations.AddField("invitation", "digest", models.CharField(max_length=64, null=True)),
        migrations.RunPython(store_webhook_secrets, elidable=True),
        migrations.RunPython(store_invitation_digests, elidable=True),
        migrations.RunPython(store_pseudonym_key, elidable=True),
    ]
