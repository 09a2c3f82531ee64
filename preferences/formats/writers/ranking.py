"""Complete rankings as JSON Lines. The file contains the snapshot's rows and can be imported again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from preferences.formats.export_format import JSONL, ExportFormat, Options, Row, SnapshotFile, json_lines
from preferences.formats.snapshot_parquet import JSON_COLUMNS


def plain(row: Row) -> dict[str, Any]:
    """A row with its JSON columns parsed and its times in ISO 8601."""
    found = dict(row)
    for name in JSON_COLUMNS & row.keys():
        found[name] = json.loads(row[name])
    for name, value in row.items():
        if isinstance(value, datetime):
            found[name] = value.isoformat()
    if "responses" in row:
        found["responses"] = [
            {
                **response,
                "sampling": json.loads(response["sampling"]),
                "metadata": json.loads(response["metadata"]),
            }
            for response in row["responses"]
        ]
    return found


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    return json_lines(plain(row) for row in snapshot.rows())


FORMAT = ExportFormat(
    name="ranking",
    title="Complete rankings with their tiers (JSON Lines)",
    use="Complete rankings, one per line, for moving data between installations.",
    loses=frozenset(),
    notes="Annotators are identified by pseudonyms, as in every export.",
    example=(
        '{"ranking_id": "…", "messages": [{"role": "user", "content": "Q"}], "responses": [{"id": "…",'
        ' "text": "A", "model": "m1", "sampling": {}}, …], "tiers": [[1], [0, 2]], "strength": 2, …}'
    ),
    suffix=".jsonl",
    media_type=JSONL,
    write=_write,
    imports_as="rankloop",
)
