"""Runs the SQL files in `annotation/models/sql/`.

Separate from 0001, because an audit trigger needs allauth's MFA table. That table can be created only
after 0001 has created the table of users.
"""

from django.db import migrations

from annotation.models.sql import ApplySql


class Migration(migrations.Migration):
    initial = True

    dependencies = [("annotation", "0001_initial"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [ApplySql(digest="41606ae87d68cdbc")]
