"""Helpers that write small files of comparisons, and helpers that read files of comparisons."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.formats.recognition import NumberedRecords, read_records
from preferences.records import Record


def read(data: bytes | Path) -> list[NumberedRecords]:
    if isinstance(data, Path):
        data = data.read_bytes()
    return list(read_records(io.BytesIO(data))[1])


def reasons(data: bytes | Path) -> dict[int, str]:
    return {item.line: item.reason for item in read(data) if item.reason}


def records(data: bytes | Path) -> list[Record]:
    """The records of a file. Fails if a row can't be read."""
    found = read(data)
    assert [item.reason for item in found if item.reason] == []
    return [record for item in found for record in item.records if isinstance(record, Record)]


def comparison(record: Record) -> tuple[str, ...]:
    """The text of the last turn, then the responses, best first."""
    assert record.ranking is not None
    ranked = [record.responses[index].text for tier in record.ranking.tiers for index in tier]
    return (record.messages[-1]["content"], *ranked)


def comparisons(data: bytes | Path) -> list[tuple[str, ...]]:
    return [comparison(record) for record in records(data)]


def good_comparisons(data: bytes | Path) -> list[tuple[str, ...]]:
    """The comparisons of the rows that can be read."""
    return [
        comparison(record) for item in read(data) for record in item.records if isinstance(record, Record)
    ]


def csv_text(header: tuple[str, ...], *rows: tuple[str, ...], end: str = "\n", delimiter: str = ",") -> str:
    """A CSV file. All cells below the header are quoted. Otherwise, Python would quote a cell with a line
    break only if `end` contains that line break."""
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=end, delimiter=delimiter).writerow(header)
    csv.writer(stream, lineterminator=end, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    return stream.getvalue()


def parquet(*, group: int = 1000, **columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, row_group_size=group)
    return stream.getvalue()
