from __future__ import annotations

from typing import Any

from rest_framework import serializers

from preferences.formats.catalog import IMPORT_FORMATS
from preferences.quirks import QUIRKS


class ImportUpload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="JSON Lines or CSV (also gzipped) or Parquet.", allow_empty_file=True
    )
    format = serializers.ChoiceField(
        choices=sorted(IMPORT_FORMATS), required=False, allow_blank=True, help_text="Recognised unless given."
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Do all of it and take it back: the report without the import."
    )


class QuirkCount(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=sorted(QUIRKS))
    text = serializers.CharField(help_text="What was found, and what was done about it.")
    count = serializers.IntegerField(help_text="Rows.")
    lines = serializers.ListField(child=serializers.IntegerField(), help_text="The first 20 of them.")


class LineError(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class ImportReport(serializers.Serializer[Any]):
    format = serializers.CharField()
    dry_run = serializers.BooleanField(help_text="Nothing was kept; the counts are those of an import.")
    read = serializers.IntegerField(help_text="Rows of the file.")
    prompts = serializers.IntegerField(help_text="New ones, as the next three.")
    responses = serializers.IntegerField()
    tasks = serializers.IntegerField()
    rankings = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="Rows that were there already, whole.")
    failed = serializers.IntegerField(help_text="Rows left out; `errors` names the first 1000.")
    errors = LineError(many=True)  # type: ignore[assignment]
    quirks = QuirkCount(many=True)


class ImportProgress(serializers.Serializer[Any]):
    share = serializers.FloatField(help_text="Of the file's bytes, 0 to 1.")
    read = serializers.IntegerField(help_text="Rows so far.")
    failed = serializers.IntegerField(help_text="Rows left out so far.")


class ImportNews(serializers.Serializer[Any]):
    """A line of an import that is told while it runs: one of these."""

    progress = ImportProgress(required=False)
    report = ImportReport(required=False)
    problem = serializers.DictField(required=False, help_text="The shape of any refusal.")
