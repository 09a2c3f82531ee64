"""Read a file as numbered rows. The file can be JSON Lines, a JSON array, CSV or Parquet, and it can be
plain, gzipped or in a zip archive.

The container format is recognised by the file's content. Memory use is constant: one line (or one small
Parquet batch) is in memory at a time, and declared sizes are not trusted. A row that can't be read is yielded
with the reason. A truncated file yields its readable rows and then the reason why reading stopped.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from gzip import BadGzipFile, GzipFile
from typing import Any, BinaryIO

from preferences.formats.containers import archive, limits
from preferences.formats.containers.csv_rows import CARRIAGE_RETURN, csv_rows, names_a_prompt
from preferences.formats.containers.json_rows import array_rows, jsonl_rows
from preferences.formats.containers.limits import NumberedRow
from preferences.formats.containers.parquet_rows import PARQUET_MAGIC, parquet_rows
from preferences.formats.containers.streams import AsRaw
from preferences.records import FormatError

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGIC = b"PK\x03\x04"
UTF8_BOM = b"\xef\xbb\xbf"
HEAD_LINES = 50
GZIP_ERRORS = (EOFError, BadGzipFile, zlib.error)
Container = Callable[[BinaryIO], Iterator[NumberedRow]]


def read_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    """The rows of a seekable binary stream. Raises FormatError if the container format is unknown."""
    magic = stream.read(4)
    stream.seek(0)
    if magic == ZIP_MAGIC:
        return _archive_rows(archive.data_files(stream))
    if magic == PARQUET_MAGIC:
        return parquet_rows(stream)
    return _text_rows(stream, magic, packed_bytes=stream.tell)


def only_parquet_of(stream: BinaryIO) -> BinaryIO | None:
    """The content of a zip archive's only data file, unpacked to disk, if it is a Parquet file; None for
    anything else."""
    magic = stream.read(4)
    stream.seek(0)
    try:
        files = archive.data_files(stream) if magic == ZIP_MAGIC else []
        if len(files) != 1:
            return None
        with archive.opened(files[0]) as member:
            return archive.unpacked(member) if member.peek(4)[:4] == PARQUET_MAGIC else None
    except FormatError:
        return None


def _archive_rows(files: list[archive.DataFile]) -> Iterator[NumberedRow]:
    """The rows of each file in turn. An unreadable file does not affect the rows of other files."""
    for file in files:
        name = file.name if len(files) > 1 else ""
        try:
            with archive.opened(file) as member:
                for row in _member_rows(member, file):
                    yield replace(row, file=name)
        except FormatError as error:
            yield NumberedRow(1, None, str(error), name)


def _member_rows(member: io.BufferedReader, file: archive.DataFile) -> Iterator[NumberedRow]:
    magic = member.peek(4)[:4]
    if magic != PARQUET_MAGIC:
        yield from _text_rows(member, magic, packed_bytes=lambda: file.packed_bytes)
        return
    with archive.unpacked(member) as table:
        yield from parquet_rows(table)


def _text_rows(stream: Any, magic: bytes, *, packed_bytes: Callable[[], int]) -> Iterator[NumberedRow]:
    raw = AsRaw(stream)
    if magic[:2] == GZIP_MAGIC:
        # GzipFile reads ahead, so the count of packed bytes can be too high by one buffer (128 KiB).
        raw = AsRaw(GzipFile(fileobj=stream, mode="rb"), packed_bytes=packed_bytes, what="the gzip data")
    buffered = io.BufferedReader(raw, limits.HEAD_BYTES)
    try:
        head = buffered.peek(limits.HEAD_BYTES)[: limits.HEAD_BYTES]
    except GZIP_ERRORS as error:
        raise FormatError(f"The gzip data can't be unpacked: {error}.") from error
    if head.startswith(UTF8_BOM):
        buffered.read(len(UTF8_BOM))
        head = head[len(UTF8_BOM) :]
    if not head.strip():
        raise FormatError("The file is empty.")
    return _guarded(_container(head)(buffered))


def _container(head: bytes) -> Container:
    first = head.lstrip().split(b"\n", 1)[0].decode(errors="replace")
    if first.startswith("{"):
        return jsonl_rows
    if first.startswith("["):
        return array_rows
    if names_a_prompt(first):
        if CARRIAGE_RETURN in first.rstrip(CARRIAGE_RETURN):
            raise FormatError(
                "The first line of this CSV file contains a carriage return without a line feed. Save "
                "the file with line feeds (LF or CRLF) at the end of its lines."
            )
        return csv_rows
    if any(line.lstrip().startswith(b"{") for line in head.split(b"\n")[:HEAD_LINES]):
        return jsonl_rows
    raise FormatError(
        "This is neither JSON Lines nor a JSON array, nor CSV with a prompt column (each plain or gzipped),"
        " nor Parquet, nor a zip archive of such files."
    )


def _guarded(rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
    """Yield `rows`. If the stream itself fails, yield the reason as the last row, so that the rows before it
    are kept."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except GZIP_ERRORS as error:
        yield NumberedRow(
            line + 1, None, f"the gzip data is truncated or damaged here ({error}); reading stopped"
        )
    except FormatError as error:
        yield NumberedRow(line + 1, None, f"{error}; reading stopped")
