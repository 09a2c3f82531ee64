"""Rows of a CSV file with a header. A quoted cell can contain line breaks, so a row can span several
lines."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from preferences.formats.containers import limits
from preferences.formats.containers.csv_header import SEPARATOR_LINE, Dialect
from preferences.formats.containers.encodings import NOT_UTF8
from preferences.formats.containers.limits import NumberedRow
from preferences.formats.containers.streams import (
    LINE_ENDS,
    TextStream,
    bounded_lines,
    bounded_mac_lines,
)
from preferences.records import FormatError

if TYPE_CHECKING:
    from _csv import Reader


def csv_rows(stream: TextStream, dialect: Dialect) -> Iterator[NumberedRow]:
    """Return an iterator over the rows. If the header can't be used, FormatError is raised immediately, not
    when the first row is read."""
    # The csv module's field size limit applies to the whole interpreter. The default of 128 KiB would reject
    # long conversations.
    csv.field_size_limit(limits.MAX_ROW_BYTES)
    lines = _CsvLines(stream, dialect)
    reader = csv.reader(lines, delimiter=dialect.delimiter, strict=True)
    header = _header(reader, lines, dialect)
    return _rows(reader, lines, header, _column_names(header))


def _header(reader: Reader, lines: _CsvLines, dialect: Dialect) -> list[str]:
    try:
        header = next(filter(any, reader), [])
        if SEPARATOR_LINE.fullmatch(dialect.delimiter.join(header)):
            header = next(filter(any, reader), [])
    except csv.Error as error:
        raise FormatError(f"The CSV header is not valid: {error}.") from None
    if lines.fault:
        raise FormatError(f"The CSV header is {lines.fault}.")
    return header


def _rows(reader: Reader, lines: _CsvLines, header: list[str], names: list[str]) -> Iterator[NumberedRow]:
    while True:
        line = reader.line_num + 1
        lines.row_bytes, lines.fault = 0, ""
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield NumberedRow(line, None, f"not valid CSV: {error}")
            continue
        if not any(cells):
            continue  # a spreadsheet writes an empty row as delimiters only
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if lines.fault:
            yield NumberedRow(line, None, lines.fault)
        elif cells == header:
            yield NumberedRow(line, None, "repeats the header; remove this line")
        elif len(cells) != len(names):
            yield NumberedRow(line, None, f"has {len(cells)} cells, but the header has {len(names)}")
        else:
            yield NumberedRow(line, dict(zip(names, cells, strict=True)))


def _column_names(header: list[str]) -> list[str]:
    """The columns' names. A column without a name gets the name that pandas would give it."""
    names = [name.strip() or f"Unnamed: {index}" for index, name in enumerate(header)]
    if len(set(names)) != len(names):
        name = next(name for name, count in Counter(names).items() if count > 1)
        raise FormatError(f"The CSV header contains the column {name!r} twice; rename one of the two.")
    return names


class _CsvLines:
    """Yields lines as text. A quoted cell can span many lines, so this class limits the size of a whole
    row.

    `fault` is the reason why the current row can't be read, for example a byte that is not UTF-8.
    """

    def __init__(self, stream: TextStream, dialect: Dialect) -> None:
        self._source = stream.source
        self._lines = (bounded_mac_lines if dialect.mac else bounded_lines)(stream)
        self.row_bytes = 0
        self.fault = ""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._lines)
        self.row_bytes += limits.MAX_ROW_BYTES if raw is None else len(raw)
        if raw is None or self.row_bytes > limits.MAX_ROW_BYTES:
            raise FormatError(
                f"a row is longer than {limits.MAX_ROW_BYTES:,} bytes (is a closing quote missing?)"
            )
        if self._source.failure and not raw.endswith(LINE_ENDS):
            raise StopIteration  # the last line of a truncated file, perhaps cut in the middle of a cell
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.fault = f"not UTF-8: byte 0x{raw[error.start]:02x} is invalid here; {NOT_UTF8}"
            return raw.decode(errors="replace")
