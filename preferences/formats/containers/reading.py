"""Read a file as numbered rows. The file can be JSON Lines, a JSON array, CSV or Parquet, and it can be
gzipped or in a zip archive.

The container format is recognised from the file's content. Memory use is constant, because only one line (or
one small Parquet batch) is in memory at a time. Sizes declared in a file are not trusted. A row that can't be
read is yielded with the reason. A truncated file yields its readable rows and then the reason why reading
stopped.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, BinaryIO

from preferences.formats.containers import archive
from preferences.formats.containers.csv_header import dialect_of
from preferences.formats.containers.csv_rows import csv_rows
from preferences.formats.containers.encodings import as_utf8, head_of
from preferences.formats.containers.json_rows import array_rows, jsonl_rows
from preferences.formats.containers.limits import Expanded, NumberedRow
from preferences.formats.containers.parquet_rows import PARQUET_MAGIC, parquet_rows
from preferences.formats.containers.streams import Gunzip, Source, TextStream
from preferences.records import FormatError

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
HEAD_LINES = 50
CUT_ARCHIVE = "the zip archive is truncated after this file; any further files are missing"
# Unsupported formats that users are likely to upload: the first bytes, and the name for the error message.
UNREAD = {
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ\x00": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
    GZIP_MAGIC: "a gzip file in a gzip file",
    ZIP_MAGIC: "a zip archive in another archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet in Excel's old format",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "an SQLite database",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04\x95": "a Python pickle",
    b"%PDF": "a PDF document",
}
# The end of one object and the beginning of the next, separated by a carriage return.
MAC_OBJECTS = re.compile(rb"\}[ \t]*\r\s*\{")
Container = Callable[[TextStream], Iterator[NumberedRow]]


def read_rows(stream: BinaryIO, expanded: Expanded | None = None) -> Iterator[NumberedRow]:
    """The rows of a seekable binary stream. `expanded` counts and limits the unpacked bytes. Raises
    FormatError if the container format is unknown."""
    magic = stream.read(4)
    stream.seek(0)
    expanded = expanded or Expanded()
    if magic == ZIP_MAGIC:
        return _archive_rows(archive.data_files(stream), expanded)
    if magic == PARQUET_MAGIC:
        return parquet_rows(stream, expanded)
    return _text_rows(stream, magic, expanded, packed_bytes=stream.tell)


def only_parquet_of(stream: BinaryIO) -> BinaryIO | None:
    """If a zip archive's only data file is Parquet, unpack it to disk and return its content. For any other
    file, return None."""
    magic = stream.read(4)
    stream.seek(0)
    try:
        files = archive.data_files(stream) if magic == ZIP_MAGIC else []
        if len(files) != 1:
            return None
        with archive.opened(files[0]) as member:
            return archive.unpacked(member, Expanded()) if member.peek(4)[:4] == PARQUET_MAGIC else None
    except FormatError:
        return None


def _archive_rows(files: list[archive.DataFile], expanded: Expanded) -> Iterator[NumberedRow]:
    """The rows of each file in turn. An unreadable file does not affect the rows of other files."""
    line, reason = 0, ""
    for file in files:
        name = file.name if len(files) > 1 or file.cut else ""
        line, reason = 0, ""
        try:
            with archive.opened(file) as member:
                for row in _member_rows(member, file, expanded):
                    line, reason = row.line, row.reason
                    yield replace(row, file=name)
        except FormatError as error:
            reason = str(error)
            yield NumberedRow(1, None, reason, name)
    if files[-1].cut and "truncated" not in reason:
        yield NumberedRow(line + 1, None, CUT_ARCHIVE, files[-1].name)


def _member_rows(
    member: io.BufferedReader, file: archive.DataFile, expanded: Expanded
) -> Iterator[NumberedRow]:
    magic = member.peek(4)[:4]
    if magic != PARQUET_MAGIC:
        yield from _text_rows(member, magic, expanded, packed_bytes=lambda: file.packed_bytes)
        return
    with archive.unpacked(member, expanded) as table:
        yield from parquet_rows(table, expanded)


def _text_rows(
    stream: Any, magic: bytes, expanded: Expanded, *, packed_bytes: Callable[[], int]
) -> Iterator[NumberedRow]:
    if magic[:2] == GZIP_MAGIC:
        # GzipFile reads ahead. The count of packed bytes can therefore be too high by one buffer (128 KiB).
        text = TextStream(Gunzip(stream), packed_bytes=packed_bytes, what="the gzip data", expanded=expanded)
    else:
        text = TextStream(stream, expanded=expanded)
    text, head = as_utf8(text, head_of(text))
    if not head.strip():
        if text.source.failure:
            raise FormatError(f"No row can be read: {text.source.failure}.")
        raise FormatError("The file is empty.")
    return _guarded(_container(head)(text), text.source)


def _container(head: bytes) -> Container:
    start = head.lstrip()
    if start.startswith(b"{"):
        return partial(jsonl_rows, mac=MAC_OBJECTS.search(start.split(b"\n", 1)[0]) is not None)
    if start.startswith(b"["):
        return array_rows
    if what := next((name for sign, name in UNREAD.items() if head.startswith(sign)), ""):
        raise FormatError(f"This is {what}. Unpack it, or save the data as CSV, JSON Lines or Parquet.")
    dialect = dialect_of(head.decode(errors="replace"))
    if dialect is not None:
        return partial(csv_rows, dialect=dialect)
    if any(line.lstrip().startswith(b"{") for line in head.split(b"\n")[:HEAD_LINES]):
        return jsonl_rows
    raise FormatError(
        "The file's format is unknown. Supported formats are JSON Lines, JSON arrays and CSV (each plain or "
        "gzipped), Parquet, and zip archives of such files. CSV needs a header that names a column for "
        "prompts or responses."
    )


def _guarded(rows: Iterator[NumberedRow], source: Source) -> Iterator[NumberedRow]:
    """Yield `rows`. If the stream itself fails, yield the reason as the last row. The rows before the failure
    are kept."""
    line = 0
    try:
        for row in rows:
            if source.failure:
                yield from _before_failure(chain([row], rows), source.failure)
                return
            line = row.line
            yield row
    except FormatError as error:
        yield NumberedRow(line + 1, None, f"{error}; reading stopped")
        return
    if source.failure:
        yield NumberedRow(line + 1, None, f"{source.failure}; reading stopped")


def _before_failure(rows: Iterator[NumberedRow], failure: str) -> Iterator[NumberedRow]:
    """The rows that were read before the stream failed, then the failure. If the last of these rows is
    unreadable, the failure replaces this row."""
    held = next(rows)
    try:
        for row in rows:
            yield held
            held = row
    except FormatError as error:
        failure = str(error)
    if held.row is not None:
        yield held
    line = held.line if held.row is None else held.line + 1
    yield NumberedRow(line, None, f"{failure}; reading stopped")
