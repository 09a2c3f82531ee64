"""A file as numbered rows: JSON Lines, a JSON array, CSV or Parquet, gzip or not: told by content.

Memory stays flat: one line (or one small Parquet batch) is held at a time, and every size is bounded before
it is believed. A row that can't be read is yielded with its reason; a file that breaks off in the middle
yields one last reason, because the rows before it are good.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from gzip import BadGzipFile, GzipFile
from math import isfinite
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.fields import json_of, kind, refuse_constant
from preferences.records import FormatError, Row, RowError

GZIP_MAGIC = b"\x1f\x8b"
PARQUET_MAGIC = b"PAR1"
ZIP_MAGIC = b"PK\x03\x04"
UTF8_BOM = b"\xef\xbb\xbf"
HEAD_BYTES = 64 * 1024
HEAD_LINES = 50

MAX_ROW_BYTES = 8 * 2**20
# Text compresses 3 to 10 times, logs that repeat themselves up to about 50; gzip's own limit is 1,032. The
# first MiBs are free, so that a small file of equal rows is no bomb.
MAX_EXPANSION_RATIO = 120
FREE_EXPANDED_BYTES = 64 * 2**20
# Parquet stores a value that is repeated once, so a long prompt in every row may well make hundreds.
MAX_REPETITION = 2000
# A value repeated in every row is stored once and unpacks to a batch full of copies: so many rows at once, no
# more, whatever the file's own figures say.
PARQUET_BATCH_ROWS = 32
CSV_COLUMNS = frozenset({"prompt", "messages", "chosen", "question", "query", "instruction", "conversation"})
JSON_SPACE = re.compile(r"[ \t\r\n]*")
Container = Callable[[BinaryIO], "Iterator[NumberedRow]"]


@dataclass(frozen=True, slots=True)
class NumberedRow:
    """A row with its line in the file (in Parquet and JSON arrays: its row), from 1; or why there is none."""

    line: int
    row: Row | None
    reason: str = ""


class ExpansionError(FormatError):
    pass


def read_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    """The rows of a seekable binary stream. Raises FormatError when the container itself is unknown."""
    magic = stream.read(4)
    stream.seek(0)
    if magic == ZIP_MAGIC:
        raise FormatError("This is a zip archive (a spreadsheet is one, too); unpack it or save it as CSV.")
    if magic == PARQUET_MAGIC:
        return _parquet_rows(stream)
    raw: io.RawIOBase | BinaryIO = _BoundedGunzip(stream) if magic[:2] == GZIP_MAGIC else stream
    buffered = io.BufferedReader(_AsRaw(raw), HEAD_BYTES)
    try:
        head = buffered.peek(HEAD_BYTES)[:HEAD_BYTES]
    except (EOFError, BadGzipFile, zlib.error) as error:
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
        return _jsonl_rows
    if first.startswith("["):
        return _array_rows
    if _names_a_prompt(first):
        if "\r" in first.rstrip("\r"):
            raise FormatError(
                "The first line of this CSV file holds a carriage return without a line feed. Save the file"
                " with line feeds (LF or CRLF) at the end of its lines."
            )
        return _csv_rows
    if any(line.lstrip().startswith(b"{") for line in head.split(b"\n")[:HEAD_LINES]):
        return _jsonl_rows
    raise FormatError(
        "This is neither JSON Lines nor a JSON array, nor CSV with a prompt column (all also as .gz),"
        " nor Parquet."
    )


def _names_a_prompt(line: str) -> bool:
    """Whether a line is a CSV header with a column for the prompt. csv refuses a bare carriage return, so
    only what stands before it is looked at: a binary file can have one anywhere."""
    try:
        header = next(csv.reader([line.split("\r", 1)[0]]), [])
    except csv.Error:
        return False
    return not CSV_COLUMNS.isdisjoint(name.strip() for name in header)


def _guarded(rows: Iterator[NumberedRow]) -> Iterator[NumberedRow]:
    """`rows`, ended by one reason where the stream itself breaks: what came before is already good."""
    line = 0
    try:
        for row in rows:
            line = row.line
            yield row
    except (EOFError, BadGzipFile, zlib.error) as error:
        yield NumberedRow(
            line + 1, None, f"the gzip data breaks off or is damaged here ({error}); reading stopped"
        )
    except FormatError as error:
        yield NumberedRow(line + 1, None, f"{error}; reading stopped")


def _jsonl_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    for number, raw in enumerate(_bounded_lines(stream), start=1):
        if raw is None:
            yield NumberedRow(number, None, f"the line is longer than {MAX_ROW_BYTES:,} bytes")
            continue
        if not raw.strip():
            continue
        try:
            value = json_of(raw.decode(), "the line")
        except UnicodeDecodeError as error:
            yield NumberedRow(number, None, f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}")
        except RowError as error:
            yield NumberedRow(number, None, str(error))
        else:
            if isinstance(value, dict):
                yield NumberedRow(number, value)
            else:
                yield NumberedRow(number, None, f"the line holds {_shown(value)}, not a JSON object")


def _shown(value: Any) -> str:
    """A value that is no object. A list may be nested too deeply to be written again, so only its kind is."""
    return kind(value) if isinstance(value, list) else json.dumps(value)[:40]


def _array_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    """The objects of one JSON array, held one at a time. Where one can't be read, the next can't be found."""
    text = _ArrayText(stream)
    number = 0
    text.skip("[")
    while not text.skip("]"):
        number += 1
        try:
            value = text.value()
        except RowError as error:
            yield NumberedRow(number, None, f"{error}; reading stopped")
            return
        if isinstance(value, dict):
            yield NumberedRow(number, value)
        else:
            yield NumberedRow(number, None, f"the row is {_shown(value)}, not a JSON object")
        if not text.skip(",") and not text.at("]"):
            broken = "the JSON array breaks off or is damaged here; reading stopped"
            yield NumberedRow(number + 1, None, broken)
            return


class _ArrayText:
    """The text of a stream from a place on that only goes forward; what lies behind it is forgotten."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # As in CSV: a byte that isn't UTF-8 becomes a lone surrogate, which the check of its field refuses.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._json = json.JSONDecoder(parse_constant=refuse_constant)
        self._text = ""
        self._place = 0
        self._ended = False

    def at(self, mark: str) -> bool:
        while True:
            self._place = JSON_SPACE.match(self._text, self._place).end()  # type: ignore[union-attr]
            if self._place < len(self._text) or self._ended:
                return self._text.startswith(mark, self._place)
            self._read(HEAD_BYTES)

    def skip(self, mark: str) -> bool:
        found = self.at(mark)
        self._place += len(mark) if found else 0
        return found

    def value(self) -> Any:
        self.at("")
        while True:
            try:
                value, self._place = self._json.raw_decode(self._text, self._place)
                return value
            except RecursionError:
                raise RowError("the row is nested too deeply") from None
            except ValueError as error:
                held = len(self._text) - self._place
                if self._ended:
                    raise RowError(f"the row is not valid JSON: {error}") from None
                if held > MAX_ROW_BYTES:
                    raise RowError(f"the row is longer than {MAX_ROW_BYTES:,} bytes, or damaged") from None
                # Twice as much each time, so a long row is read over at most twice.
                self._read(max(HEAD_BYTES, held))

    def _read(self, size: int) -> None:
        data = self._stream.read(size)
        self._ended = not data
        self._text = self._text[self._place :] + self._decoder.decode(data, final=self._ended)
        self._place = 0


def _csv_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    # The limit is the interpreter's, not the reader's; 128 KiB would refuse a long conversation.
    csv.field_size_limit(MAX_ROW_BYTES)
    lines = _CsvLines(stream)
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
    except csv.Error as error:
        raise FormatError(f"The CSV header is not valid: {error}") from None
    if len(set(header)) != len(header):
        raise FormatError("The CSV header names a column twice")
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
            yield NumberedRow(line, None, f"has {len(cells)} cells where the header has {len(header)}")
        else:
            yield NumberedRow(line, dict(zip(header, cells, strict=True)))


class _CsvLines:
    """Lines as text. A quoted cell may hold any number of them, so a whole row is bounded here."""

    def __init__(self, stream: BinaryIO) -> None:
        self._lines = _bounded_lines(stream)
        self.row_bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._lines)
        self.row_bytes += MAX_ROW_BYTES if raw is None else len(raw)
        if raw is None or self.row_bytes > MAX_ROW_BYTES:
            raise FormatError(f"a row is longer than {MAX_ROW_BYTES:,} bytes (is a quote missing its end?)")
        # A byte that isn't UTF-8 becomes a lone surrogate, which the record's check of that field refuses.
        return raw.decode(errors="surrogateescape")


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Lines with their ends; None for one longer than MAX_ROW_BYTES, which is skipped without being held."""
    while line := stream.readline(MAX_ROW_BYTES + 1):
        if len(line) <= MAX_ROW_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(HEAD_BYTES)
        yield None


def _parquet_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    try:
        file = pq.ParquetFile(stream, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"The Parquet file can't be opened: {error}.") from error
    size = stream.seek(0, io.SEEK_END)
    groups = file.metadata.num_row_groups
    expanded = sum(file.metadata.row_group(index).total_byte_size for index in range(groups))
    if expanded > FREE_EXPANDED_BYTES and expanded > size * MAX_EXPANSION_RATIO:
        raise ExpansionError(f"The Parquet file would unpack to {expanded:,} bytes from {size:,}.")
    return _parquet_batches(file, max(size * MAX_REPETITION, FREE_EXPANDED_BYTES))


def _parquet_batches(file: pq.ParquetFile, most_bytes: int) -> Iterator[NumberedRow]:
    number = expanded = 0
    try:
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            expanded += batch.nbytes
            if expanded > most_bytes:
                reason = f"the Parquet data unpacks to more than {MAX_REPETITION:,} times its size"
                yield NumberedRow(number + 1, None, f"{reason}; reading stopped")
                return
            for index in range(batch.num_rows):
                number += 1
                try:
                    # One row at a time, so that one cell of invalid UTF-8 doesn't take its neighbours along.
                    (row,) = batch.slice(index, 1).to_pylist()
                except UnicodeDecodeError as error:
                    yield NumberedRow(number, None, f"not UTF-8: {error.reason}")
                    continue
                except (ValueError, OverflowError, pa.ArrowException) as error:
                    yield NumberedRow(number, None, f"can't be read: {error}")
                    continue
                plain = {key: _plain(value) for key, value in row.items()}
                if _size(plain) > MAX_ROW_BYTES:
                    yield NumberedRow(number, None, f"the row is longer than {MAX_ROW_BYTES:,} bytes")
                else:
                    yield NumberedRow(number, plain)
    except (pa.ArrowException, OSError) as error:
        yield NumberedRow(number + 1, None, f"the Parquet data is damaged here ({error}); reading stopped")


def _plain(value: Any) -> Any:
    """Arrow's Python values as JSON's: times as ISO 8601, decimals as floats, NaN as nothing."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (bytes, time, timedelta)):
        return str(value)
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _size(value: Any) -> int:
    """About how much text a value holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(inner) for inner in value.values())
    return sum(map(_size, value)) if isinstance(value, list) else 8


class _BoundedGunzip(io.RawIOBase):
    """Unpacked gzip data that stops where it has grown out of all proportion to what was read."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._unpacked = GzipFile(fileobj=packed, mode="rb")
        self._expanded = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        # GzipFile reads ahead in the packed stream, so `tell` is at most one buffer (128 KiB) too generous.
        count = self._unpacked.readinto(buffer)
        self._expanded += count
        if (
            self._expanded > FREE_EXPANDED_BYTES
            and self._expanded > self._packed.tell() * MAX_EXPANSION_RATIO
        ):
            raise ExpansionError(
                f"the gzip data unpacks to more than {MAX_EXPANSION_RATIO} times its size, as no text does"
            )
        return count


class _AsRaw(io.RawIOBase):
    """Any readable binary stream (an upload has no `readinto`) as a raw one, for BufferedReader."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
