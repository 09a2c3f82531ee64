"""The snapshot file: a Parquet file with one row per ranking. The file's bytes depend only on the rows.

Training reads the snapshot file, and every export is generated from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from preferences.formats.containers.parquet_rows import batches_of
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
        # Added in version 2. Columns are added at the end and read by name, so old files and readers keep
        # working.
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
        # Added in version 3.
        ("gold_tiers", pa.list_(pa.list_(pa.int32()))),
    ]
)
JSON_COLUMNS = frozenset(
    {"ratings", "flags", "choices", "prompt_metadata", "task_metadata", "ranking_metadata"}
)
# Default values for columns that are missing from older files.
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
    "ranking_id": "ID of the ranking; rows are sorted by this column",
    "task_id": "ID of the ranking task; for each task, an annotator has at most one ranking with an order "
    "and one without",
    "prompt_id": "ID of the prompt; in training, all pairs from the same prompt should be in the same batch",
    "prompt_hash": "SHA-256 of the conversation",
    "split": "`train` or `heldout`, determined by the prompt's hash",
    "messages": "the conversation up to the response",
    "responses": "the responses in display order, each with ID, text, model, sampling parameters (JSON) and "
    "imported metadata (JSON)",
    "tiers": "lists of indices into `responses`, best first; responses in the same list are tied. If `tiers` "
    "is empty and neither `not_rankable` nor `all_bad` is true, the ranking has no order: the annotator "
    "rated, flagged, commented on or rewrote the responses",
    "strength": "how much better the first tier is than the second, on the project's scale",
    "annotator": "the annotator's pseudonym (the same in every snapshot of the project), or empty if the "
    "annotator is unknown",
    "source": "`browser`, `api` or `import`",
    "round": "the sampling round of the responses",
    "not_rankable": "whether the annotator marked the responses as not rankable; if so, `tiers` is empty",
    "ratings": "JSON: {response ID: {scale: value}}",
    "flags": "JSON: {response ID: [flag]}",
    "comment": "the annotator's comment",
    "rewrite": "a better response written by the annotator",
    "touched": "whether the annotator changed the displayed order",
    "duration_ms": "time from display to submission, in milliseconds",
    "weight": "weight of the ranking in training",
    "created_at": "time of submission or import",
    "unranked": "indices of the unranked responses, which rank below all tiers and have no order among "
    "themselves",
    "all_bad": "whether the annotator marked all responses as bad; if so, `tiers` can be empty",
    "confidence": "the annotator's confidence, on the form's scale",
    "choices": "JSON: {question about the whole task: choice}",
    "kind": "`annotation`, or `review` for a reviewer's deciding ranking",
    "task_kind": "`ranking` or, for a task with a known answer, `gold`, `attention` or `qualification`",
    "form_version": "version number of the form shown; null for imports, and for majority rankings "
    "from several form versions",
    "given_at": "time of the ranking as stated in the imported file",
    "prompt_metadata": "JSON: metadata of the prompt",
    "task_metadata": "JSON: metadata of the imported row",
    "ranking_metadata": "JSON: metadata of the imported ranking",
    "votes": "number of rankings that the row combines; always 1 unless the row is a majority ranking",
    "decided_by": "the rule that decided a majority ranking: `only` (a single ranking), `majority`, `borda` "
    "or `review`; empty for other rankings",
    "gold_tiers": "the known answer as tiers; null if no answer is known",
}
# A row group ends when it reaches either of these limits. Row groups therefore depend only on the rows, and
# equal rows produce equal bytes. The limits also bound the writer's memory use, no matter how long the rows
# are.
GROUP_ROWS = 2000
GROUP_CHARACTERS = 8 * 2**20
READ_ROWS = 500
# The columns that training reads. MARKS contains the training columns that exist in every snapshot version.
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
    """Write the rows, which must follow SCHEMA, and return their number."""
    count = 0
    with path.open("wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for group in _groups(rows):
            writer.write_table(pa.Table.from_pylist(group, schema=SCHEMA))
            count += len(group)
    return count


def is_snapshot(source: Path | BinaryIO) -> bool:
    """Whether a file is a snapshot of any version. A snapshot is a Parquet file with the columns and types
    that training reads."""
    try:
        schema = pq.read_schema(source)
    except (pa.ArrowException, OSError, ValueError):
        return False
    return set(MARKS) <= set(schema.names) and all(
        schema.field(name).type == SCHEMA.field(name).type for name in MARKS if name != "responses"
    )


def read_rankings(
    source: Path | BinaryIO, columns: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the rows, with a few hundred in memory at a time. If `columns` is given, only these columns are
    read."""
    # pre_buffer is off, because it would keep the whole file in memory. Reading 960,000 rows uses 240 MB with
    # pre_buffer, and 76 MB if row groups are read one by one.
    with pq.ParquetFile(source, pre_buffer=False) as file:
        there = set(file.schema_arrow.names)
        wanted = SCHEMA.names if columns is None else columns
        missing = {name: BEFORE[name] for name in wanted if name not in there}
        old_responses = "responses" in wanted and "sampling" not in _fields_of_responses(file.schema_arrow)
        for batch in batches_of(file, READ_ROWS, [name for name in wanted if name in there]):
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
    """A Parquet file of `rows`, yielded row group by row group."""
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
    """The approximate number of characters in a row. Only messages and responses are counted, because they
    make up most of the row."""
    total = 0
    for value in row.values():
        if type(value) is list and value and type(value[0]) is dict:
            for item in value:
                for text in item.values():
                    total += len(text)
    return total
