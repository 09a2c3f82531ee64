"""Detect the format of a file and read its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import BinaryIO

from preferences.checks import check_record
from preferences.formats.catalog import IMPORT_FORMATS
from preferences.formats.containers.limits import NumberedRow
from preferences.formats.containers.reading import read_rows
from preferences.records import FormatError, ImportFormat, Parsed, Row, RowError, TooFewResponses
from preferences.text import printable

RECOGNITION_ROWS = 50
NAN_IS_MISSING = "a NaN or Infinity in the row was treated as missing"


@dataclass(frozen=True, slots=True)
class NumberedRecords:
    """The records that a line contains, or the reason why the line can't be read.

    `too_few`: the row has fewer responses than a ranking needs, but no other fault.
    """

    line: int
    records: Parsed
    reason: str = ""
    too_few: bool = False


def read_records(
    stream: BinaryIO, format_name: str | None = None
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """Return the file's format (detected if not specified) and its records, which are read on demand.

    Raises FormatError if the file can't be opened, or if no format is specified and none fits its first rows.
    """
    if format_name is not None and format_name not in IMPORT_FORMATS:
        raise FormatError(
            f"There is no format {format_name!r}; known formats: {', '.join(sorted(IMPORT_FORMATS))}."
        )
    rows = read_rows(stream)
    if format_name is not None:
        found = IMPORT_FORMATS[format_name]
        return found, _records(found, rows)
    looked_at: list[NumberedRow] = []
    for row in rows:
        looked_at.append(row)
        found_format = _recognise(row)
        if found_format is not None:
            return found_format, _records(found_format, chain(looked_at, rows))
        if len(looked_at) >= RECOGNITION_ROWS:
            break
    raise FormatError(_not_recognised(looked_at))


def _recognise(row: NumberedRow) -> ImportFormat | None:
    if row.row is None:
        return None
    return next((known for known in IMPORT_FORMATS.values() if _fits(known, row.row)), None)


def _fits(known: ImportFormat, row: Row) -> bool:
    try:
        return known.recognises(row)
    except (RowError, RecursionError):
        return False


def _not_recognised(rows: list[NumberedRow]) -> str:
    seen = next((row for row in rows if row.row is not None), None)
    if seen is not None and seen.row is not None:
        what = f"line {seen.line} has the fields {', '.join(list(seen.row)[:12]) or '(none)'}"
    else:
        what = "; ".join(f"line {row.line}: {_refused(row, row.reason).reason}" for row in rows[:3])
        what = what or "the file has no rows"
    known = "\n".join(f"  {known.name}: {known.title}" for known in IMPORT_FORMATS.values())
    return f"The format is not recognised: {what}. Known formats:\n{known}"


def _records(format: ImportFormat, rows: Iterator[NumberedRow]) -> Iterator[NumberedRecords]:
    for row in rows:
        if row.row is None:
            yield _refused(row, row.reason)
            continue
        try:
            records = format.parse(row.row)
            for record in records:
                check_record(record)
            yield NumberedRecords(row.line, _with_quirks(records, row) if row.quirks else records)
        except RowError as error:
            reason = f"{error} ({NAN_IS_MISSING})" if row.quirks else str(error)
            yield _refused(row, reason, too_few=isinstance(error, TooFewResponses))
        except RecursionError:
            yield _refused(row, "a value is nested too deeply")


def _with_quirks(records: Parsed, row: NumberedRow) -> Parsed:
    """The records; the first one also has the quirks of the row."""
    return [
        replace(record, quirks=(*row.quirks, *record.quirks)) if not index else record
        for index, record in enumerate(records)
    ]


def _refused(row: NumberedRow, reason: str, *, too_few: bool = False) -> NumberedRecords:
    named = f"{row.file}: {reason}" if row.file else reason
    return NumberedRecords(row.line, (), printable(named), too_few)
