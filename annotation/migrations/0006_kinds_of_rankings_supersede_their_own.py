"""Refuses a ranking that supersedes an imported ranking without an order, unless it has no order either."""

from django.db import migrations

from annotation.models.sql import ApplySqlAgain


class Migration(migrations.Migration):
    dependencies = [("annotation", "0005_rankings_without_order")]

    operations = [ApplySqlAgain()]
