"""The file of a snapshot: one row per ranking, as Parquet whose bytes depend on the rows alone.

Training reads this very file, and every export is made from it.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SCHEMA = pa.schema(
    [
        ("ranking_id", pa.string()),
        ("task_id", pa.string()),
        ("prompt_id", pa.string()),
        ("prompt_hash", pa.string()),
        ("split", pa.string()),
        ("messages", MESSAGES),
        (
            "responses",
            pa.list_(pa.struct([("id", pa.string()), ("text", pa.string()), ("model", pa.string())])),
        ),
        ("tiers", pa.list_(pa.list_(pa.int32()))),
        ("strength", pa.int32()),
        ("annotator", pa.string()),
        ("source", pa.string()),
        ("round", pa.int32()),
        ("not_rankable", pa.bool_()),
        ("ratings", pa.string()),
        ("flags", pa.string()),
        ("comment", pa.string()),
        ("rewrite", pa.string()),
        ("touched", pa.bool_()),
        ("duration_ms", pa.int64()),
        ("weight", pa.float64()),
        ("created_at", pa.timestamp("us", tz="UTC")),
    ]
)
COLUMN_MEANINGS = {
    "ranking_id": "id of the ranking; rows are sorted by it",
    "task_id": "id of the ranking task: rankings of one task are by different people",
    "prompt_id": "id of the prompt; all pairs of one prompt belong in one batch",
    "prompt_hash": "SHA-256 of the conversation",
    "split": "train or heldout, decided by the hash of the prompt",
    "messages": "the conversation up to the answer",
    "responses": "the answers in the order they were shown",
    "tiers": "indices into responses, best first; several in one list are tied",
    "strength": "how much better the first tier is than the second, on the project's own scale",
    "annotator": "a pseudonym, the same in every snapshot of the project",
    "source": "browser, api or import",
    "round": "round of sampling that the responses come from",
    "not_rankable": "the annotator said that the responses can't be ordered; tiers is then empty",
    "ratings": "JSON: {response id: {scale: value}}",
    "flags": "JSON: {response id: [flag]}",
    "comment": "free text",
    "rewrite": "a better answer written by the annotator",
    "touched": "whether the shown order was changed before it was sent",
    "duration_ms": "time from showing to sending, in milliseconds",
    "weight": "how much the ranking counts in training",
    "created_at": "when it was sent, or imported",
}
# A row group is closed by either bound. Both depend on the rows only, so equal rows give equal bytes; and the
# writer's memory is flat, whether rows are tiny or huge.
GROUP_ROWS = 2000
GROUP_CHARACTERS = 8 * 2**20
READ_ROWS = 500


def write_rankings(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows of SCHEMA; gives their number."""
    count = 0
    with path.open("wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def read_rankings(path: Path) -> Iterator[dict[str, Any]]:
    """The rows again, a few hundred in memory at a time."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=READ_ROWS):
            yield from batch.to_pylist()


def parquet_bytes(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[bytes]:
    """A Parquet file of `rows` as it is written, row group by row group."""
    sink = _Drain()
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            yield sink.drain()
    yield sink.drain()


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    group: list[Mapping[str, Any]] = []
    characters = 0
    for row in rows:
        group.append(row)
        characters += _characters(row)
        if len(group) >= GROUP_ROWS or characters >= GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _characters(row: Mapping[str, Any]) -> int:
    """About how much text a row holds: that of its lists of objects (messages, responses), the bulk of it."""
    total = 0
    for value in row.values():
        if type(value) is list and value and type(value[0]) is dict:
            for item in value:
                for text in item.values():
                    total += len(text)
    return total


class _Drain(io.RawIOBase):
    """A write-only file whose bytes are taken away as they come; it only has to know how many there were."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def drain(self) -> bytes:
        taken = bytes(self._held)
        self._held.clear()
        return taken
