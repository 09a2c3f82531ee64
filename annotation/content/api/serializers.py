from __future__ import annotations

from typing import Any

from rest_framework import serializers

from preferences.formats.catalog import IMPORT_FORMATS
from preferences.quirks import QUIRKS


class ImportUpload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="JSON Lines, a JSON array, CSV (all also gzipped) or Parquet.", allow_empty_file=True
    )
    format = serializers.ChoiceField(
        choices=sorted(IMPORT_FORMATS), required=False, allow_blank=True, help_text="Default: detected."
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Return the report without importing anything."
    )


class QuirkCount(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=sorted(QUIRKS))
    text = serializers.CharField(help_text="The quirk, and how the import handled it.")
    count = serializers.IntegerField(help_text="Number of rows with the quirk.")
    lines = serializers.ListField(
        child=serializers.IntegerField(), help_text="Numbers of the first 20 lines with the quirk."
    )


class LineError(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()


class ImportReport(serializers.Serializer[Any]):
    format = serializers.CharField()
    dry_run = serializers.BooleanField(
        help_text="If true, nothing was stored, and the counts are those of a real import."
    )
    read = serializers.IntegerField(help_text="Number of rows in the file.")
    prompts = serializers.IntegerField(
        help_text="Number of new prompts. The next three fields likewise count only new objects."
    )
    responses = serializers.IntegerField()
    tasks = serializers.IntegerField()
    rankings = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="Number of rows whose content already existed.")
    failed = serializers.IntegerField(help_text="Number of rejected rows; `errors` lists the first 1000.")
    errors = LineError(many=True)  # type: ignore[assignment]
    quirks = QuirkCount(many=True)


class ImportProgress(serializers.Serializer[Any]):
    share = serializers.FloatField(help_text="Share of the file's bytes read so far, 0 to 1.")
    read = serializers.IntegerField(help_text="Number of rows read so far.")
    failed = serializers.IntegerField(help_text="Number of rows rejected so far.")


class ImportNews(serializers.Serializer[Any]):
    """One line of a streamed import, with exactly one of the fields."""

    progress = ImportProgress(required=False)
    report = ImportReport(required=False)
    problem = serializers.DictField(required=False, help_text="The same object as in an error response.")
