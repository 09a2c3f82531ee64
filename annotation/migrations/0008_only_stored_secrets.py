"""Requires the stored secrets, and audits the new tables."""

from django.db import migrations, models

from annotation.models.sql import ApplySqlAgain


class Migration(migrations.Migration):
    dependencies = [("annotation", "0007_keys")]

    operations = [
        migrations.AlterField("webhookendpoint", "encrypted_secret", models.TextField()),
        migrations.AlterField("webhookendpoint", "encrypted_former_secret", models.TextField(blank=True)),
        migrations.RemoveField("webhookendpoint", "secret_version"),
        migrations.AlterField("invitation", "digest", models.CharField(max_length=64)),
        migrations.AddConstraint(
            "invitation", models.UniqueConstraint(fields=["digest"], name="invitation_digest")
        ),
        ApplySqlAgain(),
    ]
