"""Row fields that only training uses, such as a ranking's weight, split and origin."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from preferences.fields import given, int_of, kind
from preferences.records import RowError, TrainingFields

# The display order is known only for rankings from these sources. Rankings from any other source do not list
# the responses in an order that an annotator saw.
SHOWN_BY_THE_PROJECT = ("browser", "api")
MAX_INTEGER = 2**31 - 1


def training_fields(row: Mapping[str, Any], *, responses_as_shown: bool = False) -> TrainingFields:
    """Return a row's training fields, which have the same names as in a snapshot. Raises RowError for an
    invalid number.

    `responses_as_shown` is true if the format lists the responses in their display order.
    """
    source, votes = _text(row, "source"), int_of(row.get("votes"), "votes", low=1, high=MAX_INTEGER) or 1
    return TrainingFields(
        weight=_weight(row.get("weight")),
        split=_text(row, "split"),
        prompt_hash=_text(row, "prompt_hash"),
        round=int_of(row.get("round"), "round", low=0, high=MAX_INTEGER),
        source=source,
        votes=votes,
        # If a row combines several rankings, there is no single display order, because each annotator saw the
        # responses in a different order.
        in_shown_order=responses_as_shown and source in SHOWN_BY_THE_PROJECT and votes == 1,
    )


def _text(row: Mapping[str, Any], name: str) -> str:
    """The field's value if it is text, otherwise an empty string. In files that Rankloop did not write,
    fields with these names can contain values of any type."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _weight(value: Any) -> float:
    if not given(value):
        return 1.0
    try:
        weight = float(value)
    except (TypeError, ValueError, OverflowError):
        weight = float("nan")
    if isinstance(value, bool) or not isfinite(weight) or weight <= 0:
        what = repr(value)[:40] if isinstance(value, (int, float, str)) else kind(value)
        raise RowError(f"weight is {what}; it must be a finite number above 0")
    return weight
