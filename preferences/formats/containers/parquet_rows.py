"""Rows of a Parquet file, a few in memory at a time."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from preferences.formats.containers import limits
from preferences.formats.containers.limits import Expanded, ExpansionError, NumberedRow, unpacks_too_far
from preferences.records import FormatError

PARQUET_MAGIC = b"PAR1"
# The maximum number of rows in a batch, regardless of what the file declares. A value that is stored once for
# all rows expands to one copy per row of a batch.
PARQUET_BATCH_ROWS = 32
UNREADABLE = (ValueError, OverflowError, pa.ArrowException)  # includes UnicodeDecodeError
DAMAGED = (*UNREADABLE, OSError, MemoryError)


def parquet_rows(stream: BinaryIO, total: Expanded) -> Iterator[NumberedRow]:
    try:
        file = pq.ParquetFile(stream, pre_buffer=False)
        names = file.schema_arrow.names
    except DAMAGED as error:
        raise FormatError(f"The Parquet file can't be opened: {str(error).rstrip('.')}.") from error
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise FormatError(f"The Parquet file has two columns named {repeated[0]!r}; rename one of them.")
    size = stream.seek(0, io.SEEK_END)
    groups = file.metadata.num_row_groups
    expanded = sum(file.metadata.row_group(index).total_byte_size for index in range(groups))
    if unpacks_too_far(expanded, size):
        raise ExpansionError(
            f"The Parquet file has {size:,} bytes and would unpack to {expanded:,} bytes, but the limit is "
            f"{limits.MAX_EXPANSION_RATIO} times the file's size."
        )
    return _parquet_batches(file, total, max(size * limits.MAX_REPETITION, limits.FREE_EXPANDED_BYTES))


def batches_of(
    file: pq.ParquetFile, rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of at most `rows` rows. No batch spans two row groups, because Arrow can't read such a batch if
    dictionaries are nested in lists or structs."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(rows, row_groups=[group], columns=columns)


def _parquet_batches(file: pq.ParquetFile, total: Expanded, most_bytes: int) -> Iterator[NumberedRow]:
    number = expanded = 0
    try:
        for batch in batches_of(file, PARQUET_BATCH_ROWS):
            expanded += batch.nbytes
            if expanded > most_bytes:
                reason = f"the Parquet data unpacks to more than {limits.MAX_REPETITION:,} times its size"
                yield NumberedRow(number + 1, None, f"{reason}; reading stopped")
                return
            total.count(batch.nbytes)
            for row in _rows_of(batch):
                number += 1
                if isinstance(row, str):
                    yield NumberedRow(number, None, row)
                    continue
                plain = {key: _plain(value) for key, value in row.items()}
                if _size(plain) > limits.MAX_ROW_BYTES:
                    yield NumberedRow(number, None, f"the row is longer than {limits.MAX_ROW_BYTES:,} bytes")
                else:
                    yield NumberedRow(number, plain)
    except ExpansionError as error:
        yield NumberedRow(number + 1, None, f"{error}; reading stopped")
    except DAMAGED as error:
        yield NumberedRow(number + 1, None, damage(error))


def _rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any] | str]:
    """Yield each row, or the reason why it can't be read. If a batch fails, it is read row by row, so that a
    cell with invalid UTF-8 affects only its own row. Reading every batch row by row would take four times as
    long."""
    try:
        yield from batch.to_pylist()
        return
    except UNREADABLE:
        pass
    for index in range(batch.num_rows):
        try:
            yield {name: _cell(batch.column(name).slice(index, 1)) for name in batch.schema.names}
        except UnicodeDecodeError as error:
            yield f"not UTF-8: {error.reason}"
        except UNREADABLE as error:
            yield f"can't be read: {error}"


def _cell(column: pa.Array) -> Any:
    """The value of a column with one row. A time that Python can't represent is returned as text."""
    try:
        return column[0].as_py()
    except UnicodeDecodeError:
        raise
    except UNREADABLE:
        if not pa.types.is_temporal(column.type):
            raise
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp(column.type.unit))
        return pc.cast(column, pa.string())[0].as_py()


def damage(error: Exception) -> str:
    """The error message for unsupported or damaged data. Reading stops at such data."""
    if isinstance(error, pa.ArrowNotImplementedError):
        return f"Arrow can't read a column ({error}); write the column with a plain type. Reading stopped"
    return f"the Parquet data is damaged here ({error}); reading stopped"


def _plain(value: Any) -> Any:
    """Convert Arrow's Python values to JSON values: times as ISO 8601, NaN as None, and decimals
    as numbers, or as text if a float would lose digits.

    Bytes that are valid UTF-8 become text, because some programs store text in binary columns. Other bytes
    are kept: known fields reject them, and metadata contains them as Base64.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return str(value)


def _number(value: Decimal) -> float | str | None:
    """Convert a decimal to a float if the float is the same number. Otherwise, convert the decimal to text,
    which keeps all digits."""
    if not value.is_finite():
        return None
    number = float(value)
    return number if isfinite(number) and Decimal(repr(number)) == value else str(value)


def _size(value: Any) -> int:
    """The approximate number of characters in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(inner) for inner in value.values())
    return sum(map(_size, value)) if isinstance(value, list) else 8
