"""Serializers for snapshots and formats."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.datasets.exports import refused_exports
from annotation.datasets.selection import CONDITIONS
from annotation.datasets.snapshots import MAX_LICENSE_CHARACTERS, MAX_NAME_CHARACTERS, MAX_NOTES_CHARACTERS
from preferences.formats import export_format


class ImportFormat(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    reads = serializers.CharField()
    loses = serializers.CharField()
    example = serializers.CharField()


class ExportOption(serializers.Serializer[Any]):
    name = serializers.CharField(help_text="The name of the export's query parameter for this option.")
    meaning = serializers.CharField()


class ExportFormat(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    use = serializers.CharField()
    loses = serializers.CharField(source="losses")
    suffix = serializers.CharField(help_text="The file name's suffix.")
    loads_with = serializers.SerializerMethodField(
        help_text="One line of Python that loads FILE with `datasets`; empty if `datasets` can't load it."
    )
    trains_with = serializers.SerializerMethodField(
        help_text="One line of Python that trains on FILE with TRL; empty if no TRL trainer supports"
        " the format."
    )
    imports_as = serializers.CharField(
        help_text="The import format that reads this export; empty if no import format reads it."
    )
    options = ExportOption(many=True)

    def get_loads_with(self, format: export_format.ExportFormat) -> str:
        return format.loads_with("FILE")

    def get_trains_with(self, format: export_format.ExportFormat) -> str:
        return format.trains_with("FILE")


class Formats(serializers.Serializer[Any]):
    imports = ImportFormat(many=True)
    exports = ExportFormat(many=True)


class NewSnapshot(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=MAX_NAME_CHARACTERS)
    selection = serializers.DictField(required=False, help_text=f"{', '.join(CONDITIONS)}.")
    license = serializers.CharField(
        max_length=MAX_LICENSE_CHARACTERS,
        required=False,
        allow_blank=True,
        help_text="Licence shown on the snapshot's card.",
    )
    notes = serializers.CharField(
        max_length=MAX_NOTES_CHARACTERS,
        required=False,
        allow_blank=True,
        help_text="Notes shown on the snapshot's card.",
    )


class Snapshot(serializers.Serializer[models.DatasetSnapshot]):
    id = serializers.UUIDField()
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    sha256 = serializers.CharField(help_text="The SHA-256 of the Parquet file.")
    rows = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    selection = serializers.DictField()
    card = serializers.DictField(
        help_text="The card: counts of the snapshot's contents, its selection and its origin."
    )
    refused_exports = serializers.SerializerMethodField(
        help_text="The formats that can't export this snapshot without further options, each with the reason."
    )
    created_by = serializers.CharField(source="created_by.username", allow_null=True)
    created_at = serializers.DateTimeField()

    def get_refused_exports(self, snapshot: models.DatasetSnapshot) -> dict[str, str]:
        return refused_exports(snapshot)
