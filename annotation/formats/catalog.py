"""Every format by name, and how a file finds its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from annotation.formats import hh, native, oasst_models, prompts
from annotation.formats.containers import NumberedRow, read_rows
from annotation.formats.export_format import ExportFormat
from annotation.formats.records import FormatError, ImportFormat, Record, RowError
from annotation.formats.writers import (
    argilla,
    csv_file,
    dataset,
    hh_rlhf,
    label_studio,
    oasst_trees,
    ranking,
    rewardbench,
    snapshot,
    trl_preference,
    trl_prompt,
    trl_sft,
    trl_unpaired,
)

# In the order of recognition: the more a format asks of a row, the earlier it stands.
IMPORT_FORMATS = {module.FORMAT.name: module.FORMAT for module in (hh, oasst_models, native, prompts)}
RECOGNITION_ROWS = 50

EXPORT_FORMATS: dict[str, ExportFormat] = {
    known.name: known
    for known in (
        trl_preference.JSONL,
        trl_preference.PARQUET,
        trl_unpaired.FORMAT,
        trl_prompt.FORMAT,
        trl_sft.FORMAT,
        ranking.FORMAT,
        snapshot.FORMAT,
        dataset.FORMAT,
        csv_file.FORMAT,
        rewardbench.FORMAT,
        hh_rlhf.FORMAT,
        oasst_trees.FORMAT,
        label_studio.PAIRWISE,
        label_studio.RANKER,
        argilla.FORMAT,
    )
}


@dataclass(frozen=True, slots=True)
class NumberedRecord:
    """A record with its line in the file; or the reason why the line holds none."""

    line: int
    record: Record | None
    reason: str = ""


def read_records(
    stream: BinaryIO, format_name: str | None = None
) -> tuple[ImportFormat, Iterator[NumberedRecord]]:
    """The file's format (recognised when not named) and its records, read as they are asked for.

    Raises FormatError when the file can't be opened, or no format is named and none fits its first rows.
    """
    if format_name is not None and format_name not in IMPORT_FORMATS:
        raise FormatError(f"There is no format {format_name!r}; known: {', '.join(sorted(IMPORT_FORMATS))}.")
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
    return next((known for known in IMPORT_FORMATS.values() if known.recognises(row.row)), None)


def _not_recognised(rows: list[NumberedRow]) -> str:
    seen = next((row for row in rows if row.row is not None), None)
    if seen is not None and seen.row is not None:
        what = f"line {seen.line} has the fields {', '.join(list(seen.row)[:12]) or '(none)'}"
    else:
        what = "; ".join(f"line {row.line}: {row.reason}" for row in rows[:3]) or "it has no rows"
    known = "\n".join(
        f"  {known.name}: {known.title}\n    {known.example}" for known in IMPORT_FORMATS.values()
    )
    return f"The format is not recognised: {what}. Known formats:\n{known}"


def _records(format: ImportFormat, rows: Iterator[NumberedRow]) -> Iterator[NumberedRecord]:
    for row in rows:
        if row.row is None:
            yield NumberedRecord(row.line, None, row.reason)
            continue
        try:
            yield NumberedRecord(row.line, format.parse(row.row))
        except RowError as error:
            yield NumberedRecord(row.line, None, str(error))
