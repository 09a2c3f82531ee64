"""Remembers the column mappings of a project's imports, and uses them again for files with the same
columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import BinaryIO, NamedTuple

from django.db import transaction

from annotation.models import Project
from preferences.formats.preview import FilePreview, preview_of

MAX_MAPPINGS = 50


class ProjectPreview(NamedTuple):
    file: FilePreview
    remembered: bool
    """Whether the mapping comes from an earlier import. An import uses the mapping only if it is passed as
    the import's `mapping` option."""


def preview_file(
    *, project: Project, file: BinaryIO, mapping: Mapping[str, str] | None = None
) -> ProjectPreview:
    """The preview of a file. If no mapping is given, the mapping from the last import with the same columns
    is used, unless the file can't be read with that mapping."""
    found = preview_of(file, mapping=mapping)
    columns = sorted(found.columns)
    saved = next((one["mapping"] for one in project.import_mappings if one["columns"] == columns), None)
    if mapping or not saved:
        return ProjectPreview(found, remembered=False)
    file.seek(0)
    again = preview_of(file, mapping=saved)
    if again.problem:
        return ProjectPreview(found, remembered=False)
    return ProjectPreview(again, remembered=True)


@transaction.atomic
def remember_mapping(*, project: Project, columns: Iterable[str], mapping: Mapping[str, str]) -> None:
    """Saves the mapping for the next file with these columns. Only the newest MAX_MAPPINGS mappings are
    kept."""
    locked = Project.objects.select_for_update().get(pk=project.pk)
    names = sorted(columns)
    others = [one for one in locked.import_mappings if one["columns"] != names]
    newest = [*others, {"columns": names, "mapping": dict(mapping)}][-MAX_MAPPINGS:]
    Project.objects.filter(pk=project.pk).update(import_mappings=newest)
