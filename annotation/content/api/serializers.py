from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.content.importing.lines import ImportedVotes
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.readers.table.chosen_mapping import KEYS
from preferences.quirks import QUIRKS
from preferences.text import MAX_RESPONSES, MIN_RESPONSES

MAX_HUB_CHARACTERS = 200
MAX_COLUMNS_CHARACTERS = 2000


class MappingField(serializers.JSONField):
    """A mapping of a table's columns, as a JSON object or as JSON text."""

    def to_internal_value(self, data: Any) -> dict[str, str]:
        try:
            value = super().to_internal_value(data)
        except RecursionError:
            raise serializers.ValidationError("The mapping is nested too deeply.") from None
        if not isinstance(value, dict) or not all(isinstance(column, str) for column in value.values()):
            raise serializers.ValidationError(
                "The mapping must be an object whose values are names of columns."
            )
        if any(len(columns) > MAX_COLUMNS_CHARACTERS for columns in value.values()):
            reason = (
                f"The column names for a key can have at most {MAX_COLUMNS_CHARACTERS:,} characters in total."
            )
            raise serializers.ValidationError(reason)
        if unknown := sorted(set(value) - set(KEYS)):
            raise serializers.ValidationError(f"{unknown[0]!r} is not one of {', '.join(KEYS)}.")
        return value


class ImportOptions(serializers.Serializer[Any]):
    format = serializers.ChoiceField(
        choices=sorted(IMPORT_FORMATS),
        required=False,
        allow_blank=True,
        help_text="Default: the detected format.",
    )
    mapping = MappingField(
        required=False,
        help_text="A JSON object that maps keys to a table's columns. The keys are prompt, system, responses"
        " (separated by commas), vote, direction and annotator. If vote is none, the votes are ignored."
        " Columns that are not chosen are inferred.",
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
    responses_per_task = serializers.IntegerField(
        required=False,
        help_text="Responses without a ranking are divided among tasks of at most this many responses, from 2"
        " (pairs) to 10. Default: 10.",
    )
    round = serializers.IntegerField(default=0, help_text="Sampling round of the new tasks.")
    priority = serializers.IntegerField(
        default=0,
        help_text="Priority of the new tasks. Tasks with a higher priority are served first.",
    )
    dry_run = serializers.BooleanField(
        default=False, help_text="Report what an import would do, without importing anything."
    )


class ImportUpload(ImportOptions):
    file = serializers.FileField(
        help_text="JSON Lines, a JSON array or CSV (each optionally gzipped), Parquet, or a zip archive of"
        " such files.",
        allow_empty_file=True,
    )


class HubImport(ImportOptions):
    dataset = serializers.CharField(
        max_length=MAX_HUB_CHARACTERS, help_text="ID of a dataset on the Hugging Face Hub: OWNER/NAME."
    )
    part = serializers.CharField(
        max_length=MAX_HUB_CHARACTERS, required=False, help_text="A configuration or folder. Default: all."
    )
    split = serializers.CharField(
        max_length=MAX_HUB_CHARACTERS, required=False, help_text="train, test, … Default: all."
    )
    revision = serializers.CharField(
        max_length=MAX_HUB_CHARACTERS, required=False, help_text="A branch, tag or commit. Default: main."
    )


class PreviewUpload(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="The file, or the beginning of a text file.", allow_empty_file=True
    )
    mapping = MappingField(required=False, help_text="As in an import.")
    votes = serializers.ChoiceField(
        choices=[str(choice) for choice in ImportedVotes],
        default=str(ImportedVotes.CLOSE),
        help_text="As in an import.",
    )
    responses_per_task = serializers.IntegerField(
        required=False, min_value=MIN_RESPONSES, max_value=MAX_RESPONSES, help_text="As in an import."
    )


class PreviewColumn(serializers.Serializer[Any]):
    name = serializers.CharField()
    example = serializers.CharField(help_text="The beginning of the column's first value.")


class PreviewTurn(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField()


class PreviewResponse(serializers.Serializer[Any]):
    text = serializers.CharField()
    model = serializers.CharField()
    ratings = serializers.JSONField(help_text="The ranking's ratings of this response.")
    flags = serializers.JSONField(help_text="The ranking's flags of this response.")


class PreviewTask(serializers.Serializer[Any]):
    messages = PreviewTurn(many=True)
    responses = PreviewResponse(many=True)
    tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField()),
        allow_null=True,
        help_text="Indices of the responses, best first; responses that are not listed rank below all others."
        " Empty if the ranking has no order; null if the row has no ranking.",
    )
    annotator = serializers.CharField()
    strength = serializers.IntegerField(allow_null=True)
    not_rankable = serializers.BooleanField()
    all_bad = serializers.BooleanField()
    comment = serializers.CharField()
    rewrite = serializers.CharField(allow_null=True)


class ImportPreview(serializers.Serializer[Any]):
    format = serializers.CharField(allow_null=True)
    title = serializers.CharField(help_text="The format's description.")
    problem = serializers.CharField(
        help_text="The reason why the file can't be read; empty if it can be read."
    )
    columns = PreviewColumn(many=True)
    mapping = serializers.DictField(
        child=serializers.CharField(), help_text="The chosen, remembered or inferred columns of a table."
    )
    remembered = serializers.BooleanField(
        help_text="Whether `mapping` comes from the project's last import with the same columns. To use"
        " this mapping for the import, send it as `mapping`."
    )
    tasks = PreviewTask(many=True, help_text="The first three tasks.")


class RowCount(serializers.Serializer[Any]):
    count = serializers.IntegerField(help_text="Number of affected rows.")
    lines = serializers.ListField(
        child=serializers.IntegerField(), help_text="Line numbers of the first 20 affected rows."
    )
    files = serializers.ListField(
        child=serializers.CharField(),
        help_text="The files that contain these lines, in the same order, if the rows come from an archive of"
        " several files; otherwise empty.",
    )


class QuirkCount(RowCount):
    name = serializers.ChoiceField(choices=sorted(QUIRKS))
    text = serializers.CharField(help_text="Describes the quirk and how the import handled it.")


class LineError(serializers.Serializer[Any]):
    line = serializers.IntegerField()
    reason = serializers.CharField()
    file = serializers.CharField(help_text="The file's name in an archive of several files; otherwise empty.")


class ReasonCount(RowCount):
    reason = serializers.CharField(help_text="The reason given for the first affected row.")


class ImportReport(serializers.Serializer[Any]):
    format = serializers.CharField()
    dry_run = serializers.BooleanField(
        help_text="If true, nothing was stored; the counts show what a real import would store."
    )
    read = serializers.IntegerField(help_text="Number of rows that were read.")
    prompts = serializers.IntegerField(
        help_text="Number of new prompts. `responses`, `tasks` and `rankings` also count only new objects."
    )
    responses = serializers.IntegerField()
    tasks = serializers.IntegerField()
    rankings = serializers.IntegerField()
    unchanged = serializers.IntegerField(help_text="Number of rows whose content already existed.")
    failed = serializers.IntegerField(help_text="Number of rejected rows; `errors` lists the first 1000.")
    errors = LineError(many=True)  # type: ignore[assignment]
    reasons = ReasonCount(
        many=True,
        help_text="The rejected rows by reason. Reasons that differ only in quoted values and numbers count"
        " as the same reason.",
    )
    quirks = QuirkCount(many=True)
    stopped = serializers.CharField(
        help_text="Explains which limit stopped the import; empty if all rows were read."
    )


class ImportProgress(serializers.Serializer[Any]):
    share = serializers.FloatField(help_text="Share of the file's bytes read so far, 0 to 1.")
    read = serializers.IntegerField(help_text="Number of rows read so far.")
    failed = serializers.IntegerField(help_text="Number of rows rejected so far.")


class ImportSummary(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    file_name = serializers.CharField(help_text="Name of the file, or ID of the dataset on the Hub.")
    size = serializers.IntegerField(
        help_text="Size of the file in bytes; 0 until a dataset has been downloaded."
    )
    dry_run = serializers.SerializerMethodField()
    options = serializers.DictField(help_text="The import's options, as sent in the request.")
    hub = serializers.DictField(
        allow_null=True,
        help_text="The location of the dataset on the Hub, with the fields `dataset`, `part`, `split` and"
        " `revision`.",
    )
    state = serializers.ChoiceField(choices=models.Import.State.choices)
    phase = serializers.CharField(
        help_text="The reason why a queued import can't start, such as a message queue that is not"
        " responding. Empty if the import is waiting for a free worker."
    )
    progress = ImportProgress(source="*")
    cancel_requested = serializers.SerializerMethodField()
    problem = serializers.DictField(
        source="error",
        allow_null=True,
        help_text="The reason why the import failed, in the format of an error response.",
    )
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_dry_run(self, row: models.Import) -> bool:
        return bool(row.options.get("dry_run"))

    def get_cancel_requested(self, row: models.Import) -> bool:
        return row.cancel_requested_at is not None


class Import(ImportSummary):
    report = ImportReport(
        allow_null=True,
        help_text="The report at the end of the import. Before the end, and after a cancellation or a"
        " failure, it covers the rows that have been imported.",
    )
