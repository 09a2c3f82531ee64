"""Whole rankings as JSON Lines: the rows of the snapshot, which can be imported again (format `rankloop`).

How a response was sampled and what else was known of a prompt are not in a snapshot, so they are not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from annotation.formats.export_format import ExportFormat, Row


def _jsonl(rows: Iterable[Row], card: Mapping[str, Any]) -> Iterator[bytes]:
    for row in rows:
        plain = {
            **row,
            "ratings": json.loads(row["ratings"]),
            "flags": json.loads(row["flags"]),
            "created_at": row["created_at"].isoformat(),
        }
        yield json.dumps(plain, ensure_ascii=False).encode() + b"\n"


FORMAT = ExportFormat(
    name="ranking",
    title="Whole rankings with their tiers (JSON Lines); can be imported again",
    suffix=".jsonl",
    media_type="application/jsonl",
    write=_jsonl,
)
