"""Numbers and truth values in the cells of a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preferences.fields import given
from preferences.formats.readers.columns.names import words_of
from preferences.formats.readers.columns.vocabulary import OTHER_WORDS, RANK_WORDS, SCORE_WORDS
from preferences.records import RowError

LARGEST_NUMBER = 2**53


def whole_number(value: object) -> int | None:
    """`value` as a whole number: an int, a float such as 1.0 (pandas), or digits in a CSV cell. None for
    other values. Raises RowError for true and false."""
    if isinstance(value, bool):
        raise RowError("true and false name no response")
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,9}(\.0)?\s*", value):
        return int(float(value))
    return None


def truth_value(value: object, name: str) -> bool:
    if not given(value):
        return False
    text = str(value).strip().lower()
    if text in {"1", "1.0", "true", "yes"}:
        return True
    if text in {"0", "0.0", "false", "no"}:
        return False
    raise RowError(f"{name} is {text[:40]!r}; it must be 0 or 1")


def number_of(value: object, name: str) -> float | None:
    if not given(value):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise RowError(f"{name} contains {str(value)[:40]!r}, which is not a number") from None
    if isinstance(value, bool) or number != number or abs(number) == float("inf"):
        raise RowError(f"{name} contains {value}, which is not a finite number")
    return number


def is_number(value: object) -> bool:
    """Whether the value is a number, or text such as "-1.5". Numbers that are too large to be exact as floats
    do not count."""
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return -LARGEST_NUMBER < value < LARGEST_NUMBER
    return isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}(\.\d{1,15})?\s*", value) is not None


def named_numbers(item: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The keys of a listed response that contain a rank, and those that contain a score."""
    numeric = [key for key, value in item.items() if is_number(value) and not isinstance(value, bool)]
    ranks = [
        key for key in numeric if RANK_WORDS & set(words_of(key)) and not OTHER_WORDS & set(words_of(key))
    ]
    scores = [
        key for key in numeric if SCORE_WORDS & set(words_of(key)) and not OTHER_WORDS & set(words_of(key))
    ]
    return ranks, scores
