"""The file of a snapshot: one row per ranking, as Parquet whose bytes depend on the rows alone.

Training reads this very file, and every export is made from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.formats.drain import Drain

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
            pa.list_(
                pa.struct(
                    [
                        ("id", pa.string()),
                        ("text", pa.string()),
                        ("model", pa.string()),
                        ("sampling", pa.string()),
                        ("metadata", pa.string()),
                    ]
                )
            ),
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
        # Version 2. Columns come only at the end and are read by name: old files and old readers go on.
        ("unranked", pa.list_(pa.int32())),
        ("all_bad", pa.bool_()),
        ("confidence", pa.int32()),
        ("choices", pa.string()),
        ("kind", pa.string()),
        ("task_kind", pa.string()),
        ("form_version", pa.int32()),
        ("given_at", pa.timestamp("us", tz="UTC")),
        ("prompt_metadata", pa.string()),
        ("task_metadata", pa.string()),
        ("ranking_metadata", pa.string()),
        ("votes", pa.int32()),
        ("decided_by", pa.string()),
        # Version 3.
        ("gold_tiers", pa.list_(pa.list_(pa.int32()))),
    ]
)
JSON_COLUMNS = frozenset(
    {"ratings", "flags", "choices", "prompt_metadata", "task_metadata", "ranking_metadata"}
)
# What a file written before a column was there says in it.
BEFORE: dict[str, Any] = {
    "unranked": [],
    "all_bad": False,
    "confidence": None,
    "choices": "{}",
    "kind": "annotation",
    "task_kind": "ranking",
    "form_version": None,
    "given_at": None,
    "prompt_metadata": "{}",
    "task_metadata": "{}",
    "ranking_metadata": "{}",
    "votes": 1,
    "decided_by": "",
    "gold_tiers": None,
}
COLUMN_MEANINGS = {
    "ranking_id": "id of the ranking; rows are sorted by it",
    "task_id": "id of the ranking task: rankings of one task are by different people",
    "prompt_id": "id of the prompt; all pairs of one prompt belong in one batch",
    "prompt_hash": "SHA-256 of the conversation",
    "split": "train or heldout, decided by the hash of the prompt",
    "messages": "the conversation up to the answer",
    "responses": "the answers in the order they were shown: id, text, model, and as JSON how they were"
    " sampled and what else an imported file said of them",
    "tiers": "indices into responses, best first; several in one list are tied",
    "strength": "how much better the first tier is than the second, on the project's own scale",
    "annotator": "a pseudonym, the same in every snapshot of the project; empty where nobody is named",
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
    "unranked": "indices into responses that were left below all tiers, in no order among themselves",
    "all_bad": "the annotator said that none is good enough; tiers may be empty then",
    "confidence": "how sure the annotator was, on the form's own scale",
    "choices": "JSON: {question about the whole task: choice}",
    "kind": "annotation, or review: a reviewer's deciding ranking",
    "task_kind": "ranking, or gold, attention, qualification: a task whose answer was known",
    "form_version": "number of the project's form that was shown; none for imports",
    "given_at": "when it was given, where an imported file said so",
    "prompt_metadata": "JSON: what else is known of the prompt",
    "task_metadata": "JSON: what else the imported row said",
    "ranking_metadata": "JSON: what else the imported file said of the ranking",
    "votes": "how many rankings the row was made from: 1 unless it is a majority",
    "decided_by": "of a majority: only, majority, borda or review; else empty",
    "gold_tiers": "the known answer, as tiers are; none where it is not known",
}
# A row group is closed by either bound. Both depend on the rows only, so equal rows give equal bytes; and the
# writer's memory is flat, whether rows are tiny or huge.
GROUP_ROWS = 2000
GROUP_CHARACTERS = 8 * 2**20
READ_ROWS = 500
# What training reads, and of it the columns that a snapshot has had from the first version on.
TRAINING_COLUMNS = (
    "ranking_id",
    "prompt_hash",
    "split",
    "messages",
    "responses",
    "tiers",
    "unranked",
    "strength",
    "annotator",
    "source",
    "round",
    "not_rankable",
    "all_bad",
    "weight",
    "votes",
)
MARKS = tuple(name for name in TRAINING_COLUMNS if name not in BEFORE)


def write_rankings(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes rows of SCHEMA; gives their number."""
    count = 0
    with path.open("wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def is_snapshot(path: Path) -> bool:
    """Whether a file is a snapshot of any version: Parquet with the columns and types that training reads."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return set(MARKS) <= set(schema.names) and all(
        schema.field(name).type == SCHEMA.field(name).type for name in MARKS if name != "responses"
    )


def read_rankings(path: Path, columns: Collection[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows again, a few hundred in memory at a time; with these columns only, if any are named."""
    # Buffered ahead, the whole file is held: 240 MB for 960,000 rows; one group after the other takes 76.
    with pq.ParquetFile(path, pre_buffer=False) as file:
        there = set(file.schema_arrow.names)
        wanted = SCHEMA.names if columns is None else columns
        missing = {name: BEFORE[name] for name in wanted if name not in there}
        old_responses = "responses" in wanted and "sampling" not in _fields_of_responses(file.schema_arrow)
        for batch in file.iter_batches(READ_ROWS, columns=[name for name in wanted if name in there]):
            yield from _rows_of_batch(batch, missing, old_responses)


def _rows_of_batch(batch: pa.RecordBatch, missing: Mapping[str, Any], old_responses: bool) -> list[Any]:
    rows: list[Any] = batch.to_pylist()
    for row in rows:
        if old_responses:
            for response in row["responses"]:
                response.update(sampling="{}", metadata="{}")
        if missing:
            row.update(missing)
    return rows


def _fields_of_responses(schema: pa.Schema) -> set[str]:
    return {field.name for field in schema.field("responses").type.value_type}


def parquet_bytes(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> Iterator[bytes]:
    """A Parquet file of `rows` as it is written, row group by row group."""
    sink = Drain()
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
