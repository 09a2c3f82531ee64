"""TRL's preference data: explicit prompt, conversational (lists of {role, content}), one row per strict pair.

Explicit, because TRL's own guess of an implicit prompt is the common prefix by characters, which glued a part
of the answer to the prompt in 19 % of the rows of one hh-rlhf file. Ties are left out: the format has no
words for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from annotation.formats.export_format import ExportFormat, Row
from annotation.formats.snapshot_parquet import MESSAGES, parquet_bytes
from annotation.pairs import comparisons_of

COLUMNS = [("prompt", MESSAGES), ("chosen", MESSAGES), ("rejected", MESSAGES)]
LABELS = [("prompt_group", pa.string()), ("ranking_id", pa.string()), ("split", pa.string())]


def pairs_of(row: Row, *, with_margin: bool) -> Iterator[dict[str, Any]]:
    """The strict pairs of one ranking. `prompt_group` names the prompt: its pairs belong in one batch.

    TRL reads `margin` from every row or from none: without a strength it is 0, which changes nothing.
    """
    texts = [response["text"] for response in row["responses"]]
    for pair in comparisons_of(row["tiers"], row["strength"]):
        if pair.is_tie:
            continue
        margin = {"margin": float(pair.strength or 0)} if with_margin else {}
        yield {
            "prompt": row["messages"],
            "chosen": [{"role": "assistant", "content": texts[pair.preferred]}],
            "rejected": [{"role": "assistant", "content": texts[pair.other]}],
            **margin,
            "prompt_group": row["prompt_id"],
            "ranking_id": row["ranking_id"],
            "split": row["split"],
        }


def _pairs(rows: Iterable[Row], card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield from pairs_of(row, with_margin=card["with_strength"] > 0)


def _jsonl(rows: Iterable[Row], card: Mapping[str, Any]) -> Iterator[bytes]:
    for pair in _pairs(rows, card):
        yield json.dumps(pair, ensure_ascii=False).encode() + b"\n"


def _parquet(rows: Iterable[Row], card: Mapping[str, Any]) -> Iterator[bytes]:
    margin = [("margin", pa.float64())] if card["with_strength"] > 0 else []
    return parquet_bytes(_pairs(rows, card), pa.schema([*COLUMNS, *margin, *LABELS]))


JSONL = ExportFormat(
    name="trl_preference",
    title="TRL preference pairs, conversational, explicit prompt (JSON Lines); ties are left out",
    suffix=".jsonl",
    media_type="application/jsonl",
    write=_jsonl,
)
PARQUET = ExportFormat(
    name="trl_preference_parquet",
    title="TRL preference pairs, conversational, explicit prompt (Parquet); ties are left out",
    suffix=".parquet",
    media_type="application/vnd.apache.parquet",
    write=_parquet,
)
