"""Functions shared by the formats with chosen and rejected responses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from preferences.fields import given, kind
from preferences.records import Row, RowError

SIDES = ("chosen", "rejected")
MAX_STRENGTH = 32_767


def blind_order(texts: Sequence[str]) -> list[int]:
    """Indices of the texts, ordered by the texts' hashes. The order in the file (better text first) would
    reveal the winner."""
    return sorted(range(len(texts)), key=lambda index: hashlib.sha256(texts[index].encode()).digest())


def strength_of(row: Row) -> tuple[int | None, dict[str, Any]]:
    """The row's `margin` as a strength. A margin that is negative, too large or not a whole number becomes
    metadata instead.

    A margin of 0 means that there is no strength. TRL requires a margin in every row or in none. If a file
    has margins, rows without a strength therefore have a margin of 0.
    """
    value = row.get("margin")
    if not given(value):
        return None, {}
    try:
        margin = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"margin must be a number, not {kind(value)}") from None
    if isinstance(value, bool) or margin != margin or abs(margin) == float("inf"):
        raise RowError("margin must be a finite number")
    if margin == 0:
        return None, {}
    if margin.is_integer() and 0 < margin <= MAX_STRENGTH:
        return int(margin), {}
    return None, {"margin": margin}
