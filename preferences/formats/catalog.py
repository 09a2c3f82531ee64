"""All formats by name, and the recognition of a file's format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from preferences.fields import check_texts
from preferences.formats.containers.limits import NumberedRow
from preferences.formats.containers.reading import read_rows
from preferences.formats.export_format import ExportFormat
from preferences.formats.readers import native, prompts, ranked_outputs
from preferences.formats.readers.pairs import best_of_n, hh, trl_pairs
from preferences.formats.readers.studies import arena, mt_bench, pandalm, qa_feedback, squality, tulu
from preferences.formats.readers.tools import argilla as argilla_records
from preferences.formats.readers.tools import label_studio as label_studio_export
from preferences.formats.readers.tools import oasst_models
from preferences.formats.readers.tools import oasst_trees as message_trees
from preferences.formats.writers import (
    argilla,
    csv_file,
    dataset,
    hh_rlhf,
    label_studio,
    oasst_trees,
    ranking,
    rewardbench,
    snapshot,
)
from preferences.formats.writers.trl import preference, prompt, sft, unpaired
from preferences.records import FormatError, ImportFormat, Parsed, RowError, TooFewResponses

# In the order of recognition: formats that require more of a row come first.
IMPORT_FORMATS = {
    known.name: known
    for known in (
        hh.FORMAT,
        label_studio_export.FORMAT,
        argilla_records.FORMAT,
        message_trees.FORMAT,
        mt_bench.ANSWERS,
        mt_bench.VOTES,
        arena.FORMAT,
        squality.FORMAT,
        pandalm.FORMAT,
        tulu.FORMAT,
        qa_feedback.FORMAT,
        ranked_outputs.FORMAT,
        oasst_models.FORMAT,
        best_of_n.FORMAT,
        trl_pairs.FORMAT,
        native.FORMAT,
        prompts.FORMAT,
    )
}
RECOGNITION_ROWS = 50

EXPORT_FORMATS: dict[str, ExportFormat] = {
    known.name: known
    for known in (
        preference.JSONL,
        preference.PARQUET,
        unpaired.FORMAT,
        prompt.FORMAT,
        sft.FORMAT,
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
class NumberedRecords:
    """The records of a line, or the reason why it has none.

    `too_few`: the row has fewer responses than a ranking needs, but no other fault.
    """

    line: int
    records: Parsed
    reason: str = ""
    too_few: bool = False


def read_records(
    stream: BinaryIO, format_name: str | None = None
) -> tuple[ImportFormat, Iterator[NumberedRecords]]:
    """The file's format (recognised if not named) and its records, which are read on demand.

    Raises FormatError if the file can't be opened, or if no format is named and none fits its first rows.
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
        what = "; ".join(f"line {row.line}: {_refused(row, row.reason).reason}" for row in rows[:3])
        what = what or "it has no rows"
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
                check_texts(record)
            yield NumberedRecords(row.line, records)
        except RowError as error:
            yield _refused(row, str(error), too_few=isinstance(error, TooFewResponses))
        except RecursionError:
            yield _refused(row, "a value is nested too deeply")


def _refused(row: NumberedRow, reason: str, *, too_few: bool = False) -> NumberedRecords:
    return NumberedRecords(row.line, (), f"{row.file}: {reason}" if row.file else reason, too_few)
