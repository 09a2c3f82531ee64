from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.content.import_lines import ImportedVotes
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.quirks import QUIRKS


def valid_mapping(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(column, str) for column in value.values()):
        raise serializers.ValidationError("It must be an object whose values are names of columns.")
    return value


class ImportUpload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="JSON Lines, a JSON array or CSV (each optionally gzipped), or Parquet.",
        allow_empty_file=True,
    )
    format = serializers.ChoiceField(
        choices=sorted(IMPORT_FORMATS), required=False, allow_blank=True, help_text="Default: detected."
    )
    mapping = serializers.JSONField(
        required=False,
        help_text="A JSON object that chooses a table's columns. The keys are prompt, system, responses"
        " (separated by commas), vote, direction and annotator. The vote none ignores the votes. Columns that"
        " are not chosen are inferred.",
    )
    votes = serializers.ChoiceField(
        choices=[str(choice) for choice in ImportedVotes],
        default=str(ImportedVotes.CLOSE),
        help_text="close: rankings in the file close their tasks. keep: rankings are stored, and the tasks"
        " are ranked again. ignore: rankings are not stored.",
    )
    overlap = serializers.IntegerField(
        required=False, help_text="Rankings per new task. Default: the project's overlap."
    )
    round = serializers.IntegerField(default=0, help_text="Sampling round of the new tasks.")
    priority = serializers.IntegerField(
        default=0, help_text="New tasks with a higher priority are served first."
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Return the report without importing anything."
    )

    def validate_mapping(self, value: object) -> dict[str, str]:
        return valid_mapping(value)


class PreviewUpload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="The file, or the beginning of a text file.", allow_empty_file=True
    )
    mapping = serializers.JSONField(required=False, help_text="As in an import.")

    def validate_mapping(self, value: object) -> dict[str, str]:
        return valid_mapping(value)


class PreviewColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    example = serializers.CharField(help_text="The beginning of the column's first value.")


class PreviewTurn(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField()


class PreviewResponse(serializers.Serializer[Any]):
    text = serializers.CharField()
    model = serializers.CharField()


class PreviewTask(serializers.Serializer[Any]):
    messages = PreviewTurn(many=True)
    responses = PreviewResponse(many=True)
    tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        allow_null=True,
        help_text="Indices of the responses, best first; null if the row has no ranking.",
    )
    annotator = serializers.CharField()


class ImportPreview(serializers.Serializer[Any]):
    format = serializers.CharField(allow_null=True)
    title = serializers.CharField(help_text="The format's description.")
    problem = serializers.CharField(help_text="Why the file can't be read, or empty.")
    columns = PreviewColumn(many=True)
    mapping = serializers.DictField(
        child=serializers.CharField(), help_text="The chosen or inferred columns of a table."
    )
    tasks = PreviewTask(many=True, help_text="The first three tasks.")


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
        help_text="Number of new prompts. `responses`, `tasks` and `rankings` also count only new objects."
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
