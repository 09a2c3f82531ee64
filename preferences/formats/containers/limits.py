"""Sizes that bound what is read, and the row that a container yields."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from preferences.fields import kind
from preferences.records import FormatError, Row

HEAD_BYTES = 64 * 1024
MAX_ROW_BYTES = 8 * 2**20
# Text compresses 3 to 10 times, repetitive logs up to about 50; gzip's own limit is 1,032. The first MiBs are
# free, so that a small file of equal rows is no bomb.
MAX_EXPANSION_RATIO = 120
FREE_EXPANDED_BYTES = 64 * 2**20
# Parquet stores a repeated value once, so a long prompt in every row can well make hundreds.
MAX_REPETITION = 2000


class ExpansionError(FormatError):
    """Compressed data grows out of all proportion."""


@dataclass(frozen=True, slots=True)
class NumberedRow:
    """A row with its line (in Parquet and JSON arrays: its row) from 1, or the reason why there is none.

    `file` names the file in an archive of several; it is empty elsewhere.
    """

    line: int
    row: Row | None
    reason: str = ""
    file: str = ""


def shown(value: Any) -> str:
    """A value that is no object. A list can be nested too deeply to be written again: only its kind is."""
    return kind(value) if isinstance(value, list) else json.dumps(value)[:40]


def unpacks_too_far(expanded: int, packed: int) -> bool:
    return expanded > FREE_EXPANDED_BYTES and expanded > packed * MAX_EXPANSION_RATIO
