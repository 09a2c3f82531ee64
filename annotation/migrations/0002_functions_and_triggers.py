"""Runs the SQL files in `annotation/models/sql/`.

It is separate from 0001 because one trigger audits the table of second factors, which depends on the users of
0001.
"""

from django.db import migrations

from annotation.models.sql import ApplySql


class Migration(migrations.Migration):
    initial = True

    dependencies = [("annotation", "0001_initial"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [ApplySql(digest="2cd7f66676ef0c06")]
