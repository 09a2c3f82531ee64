"""Rows of a Parquet file, a few in memory at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from math import isfinite
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.formats.containers import limits
from preferences.formats.containers.limits import ExpansionError, NumberedRow, unpacks_too_far
from preferences.records import FormatError

PARQUET_MAGIC = b"PAR1"
# A value that is stored once for all rows expands to one copy per row of a batch, so this is the maximum
# number of rows in a batch, regardless of what the file declares.
PARQUET_BATCH_ROWS = 32
UNREADABLE = (ValueError, OverflowError, pa.ArrowException)  # includes UnicodeDecodeError


def parquet_rows(stream: BinaryIO) -> Iterator[NumberedRow]:
    try:
        file = pq.ParquetFile(stream, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise FormatError(f"The Parquet file can't be opened: {error}.") from error
    size = stream.seek(0, io.SEEK_END)
    groups = file.metadata.num_row_groups
    expanded = sum(file.metadata.row_group(index).total_byte_size for index in range(groups))
    if unpacks_too_far(expanded, size):
        raise ExpansionError(f"The Parquet file has {size:,} bytes and would unpack to {expanded:,}.")
    return _parquet_batches(file, max(size * limits.MAX_REPETITION, limits.FREE_EXPANDED_BYTES))


def _parquet_batches(file: pq.ParquetFile, most_bytes: int) -> Iterator[NumberedRow]:
    number = expanded = 0
    try:
        for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
            expanded += batch.nbytes
            if expanded > most_bytes:
                reason = f"the Parquet data unpacks to more than {limits.MAX_REPETITION:,} times its size"
                yield NumberedRow(number + 1, None, f"{reason}; reading stopped")
                return
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
    except (pa.ArrowException, OSError) as error:
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
            yield from batch.slice(index, 1).to_pylist()
        except UnicodeDecodeError as error:
            yield f"not UTF-8: {error.reason}"
        except UNREADABLE as error:
            yield f"can't be read: {error}"


def damage(error: Exception) -> str:
    """The error message for damaged data, at which reading stops."""
    return f"the Parquet data is damaged here ({error}); reading stopped"


def _plain(value: Any) -> Any:
    """Convert Arrow's Python values to JSON values: times as ISO 8601, decimals as floats, NaN as None."""
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
    """The approximate number of characters in a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(inner) for inner in value.values())
    return sum(map(_size, value)) if isinstance(value, list) else 8
