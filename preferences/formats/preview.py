"""The columns and the first records of a file, for a preview before the import.

Only the first rows of the file are read: enough to recognise the format, and further rows only until three
records have been found.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

from preferences.fields import given
from preferences.formats.containers.limits import HEAD_EXPANDED_BYTES, Expanded
from preferences.formats.containers.reading import read_rows
from preferences.formats.readers.table.chosen_mapping import choice_of
from preferences.formats.readers.table.mapping import mapping_of
from preferences.formats.readers.table.reader import FORMAT as COLUMNS
from preferences.formats.recognition import RECOGNITION_ROWS, NotRankable, records_of_rows
from preferences.records import FormatError, ImportFormat, Record, Row
from preferences.text import printable, storage_fault

SHOWN_RECORDS = 3
# If all rows with which the format is recognised are faulty, the preview searches this many rows for records.
SEARCHED_ROWS = 1000
EXAMPLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class FilePreview:
    """`columns` maps each column to the beginning of its first value. If the format is `table`, `mapping`
    contains the columns that were chosen or inferred. `problem` is the reason why the file can't be read, or
    empty."""

    columns: dict[str, str] = field(default_factory=dict)
    format: ImportFormat | None = None
    mapping: dict[str, str] = field(default_factory=dict)
    records: tuple[Record, ...] = ()
    problem: str = ""


def preview_of(
    stream: BinaryIO, format_name: str | None = None, mapping: Mapping[str, str] | None = None
) -> FilePreview:
    """Read the first rows of a file. If the file can't be read, the preview has a `problem`."""
    try:
        rows = read_rows(stream, Expanded(HEAD_EXPANDED_BYTES))
        head = list(islice(rows, RECOGNITION_ROWS))
    except FormatError as error:
        return FilePreview(problem=str(error))
    read = [row.row for row in head if row.row is not None]
    columns = _columns(read)
    try:
        found, records = records_of_rows(head, islice(rows, SEARCHED_ROWS - len(head)), format_name, mapping)
        shown = tuple(islice(_records(records), SHOWN_RECORDS))
    except NotRankable as error:
        return FilePreview(problem=str(error))
    except FormatError as error:
        return FilePreview(columns, mapping=dict(mapping or {}), problem=str(error))
    chosen = dict(mapping or {})
    if found.name == COLUMNS.name and not chosen:
        inferred = mapping_of(read)
        chosen = {} if inferred is None else choice_of(inferred)
    return FilePreview(columns, found, chosen, shown)


def _records(records: Iterator[Any]) -> Iterator[Record]:
    return (record for item in records for record in item.records if isinstance(record, Record))


def _columns(rows: list[Row]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            if storage_fault(name):
                continue  # a request can't contain this name, so the user can't choose the column
            if not columns.get(name):
                columns[name] = printable(str(value)[:EXAMPLE_CHARACTERS]) if given(value) else ""
    return columns
