"""Rows of a CSV file with a header. A quoted cell can contain line breaks, so a row can span several
lines."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import BinaryIO

from preferences.formats.containers import limits
from preferences.formats.containers.limits import NumberedRow
from preferences.formats.containers.streams import bounded_lines
from preferences.records import FormatError

CSV_COLUMNS = frozenset({"prompt", "messages", "chosen", "question", "query", "instruction", "conversation"})
CARRIAGE_RETURN = "\r"


def names_a_prompt(line: str) -> bool:
    """Whether a line is a CSV header with a column for the prompt. The csv module rejects a bare carriage
    return, and a binary file can contain one anywhere, so only the text before the first carriage return is
    examined."""
    try:
        header = next(csv.reader([line.split(CARRIAGE_RETURN, 1)[0]]), [])
    except csv.Error:
        return False
    return not CSV_COLUMNS.isdisjoint(name.strip() for name in header)


def csv_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    # The csv module's field size limit is global to the interpreter; its default of 128 KiB would reject long
    # conversations.
    csv.field_size_limit(limits.MAX_ROW_BYTES)
    lines = _CsvLines(stream)
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
    except csv.Error as error:
        raise FormatError(f"The CSV header is not valid: {error}") from None
    if len(set(header)) != len(header):
        raise FormatError("The CSV header contains a column twice")
    while True:
        line = reader.line_num + 1
        lines.row_bytes = 0
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield NumberedRow(line, None, f"not valid CSV: {error}")
            continue
        if not cells:
            continue
        if len(cells) != len(header):
            yield NumberedRow(line, None, f"has {len(cells)} cells, but the header has {len(header)}")
        else:
            yield NumberedRow(line, dict(zip(header, cells, strict=True)))


class _CsvLines:
    """Yield lines as text. A quoted cell can span many lines, so this class limits the size of a whole
    row."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = bounded_lines(stream)
        self.row_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._lines)
        self.row_bytes += limits.MAX_ROW_BYTES if raw is None else len(raw)
        if raw is None or self.row_bytes > limits.MAX_ROW_BYTES:
            raise FormatError(
                f"a row is longer than {limits.MAX_ROW_BYTES:,} bytes (is a closing quote missing?)"
            )
        # A byte that is not UTF-8 becomes a lone surrogate, which field validation rejects.
        return raw.decode(errors="surrogateescape")
