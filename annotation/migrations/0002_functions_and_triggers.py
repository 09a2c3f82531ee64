"""Runs the SQL files in `annotation/models/sql/`.

Separate from 0001, because a trigger audits the table of second factors, which refers to the users of 0001.
"""

from django.db import migrations

from annotation.models.sql import ApplySql


class Migration(migrations.Migration):
    initial = True

    dependencies = [("annotation", "0001_initial"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [ApplySql(digest="9724db5770f28338")]
