"""Cells that look like votes, although no rule reads them: text that judges one response ("4/5"), text that
orders the responses (`B>A`), and lists that compare the responses in pairs."""

from __future__ import annotations

import re
from typing import Any

from preferences.fields import whole_of
from preferences.formats.readers.columns.vocabulary import APPROVALS
from preferences.formats.readers.table.cells import listed
from preferences.formats.readers.table.numbers_in_cells import is_number
from preferences.formats.readers.table.votes import Answers, is_name_of

SEPARATOR = re.compile(r"\s*(?:[><=~≻≺≈→|;,]|\bthen\b)+\s*")
MAX_ORDER_CHARACTERS = 500  # splitting a long run of spaces takes quadratic time
PLACE = re.compile(r"\d{1,2}")
RATIO = re.compile(r"\s*\d+\s*[:/–-]\s*\d+\s*")
POINTS = re.compile(
    r"[★☆⭐🌟✮✰️]+|\d+([.,]\d+)?\s*(/|of|out of|von)\s*\d+|\d+([.,]\d+)?\s*(stars?|points?|sterne?|punkte?|%)",
    re.I,
)
IN_TEXT = "it contains an order as text; write one column with the rank of each response"
IN_PAIRS = "it compares the responses in pairs; write one column with the rank of each response"


def is_judgement(value: object) -> bool:
    """Whether the value is text that judges a response, such as "good", "★★★" or "4/5"."""
    return isinstance(value, str) and (
        value.strip().lower() in APPROVALS or POINTS.fullmatch(value.strip()) is not None
    )


def is_ratio(value: object) -> bool:
    """Whether the value is text such as "3:1"."""
    return isinstance(value, str) and RATIO.fullmatch(value) is not None


def order_in(value: object, answers: Answers) -> str:
    """The reason why a cell that contains an order is not read; empty if it contains no order."""
    if isinstance(value, str) and names_in_order(value, answers):
        return IN_TEXT
    return IN_PAIRS if _is_in_pairs(value, len(answers.texts)) else ""


def names_in_order(value: str, answers: Answers) -> bool:
    """Whether the text lists at least two different responses, such as "B>A"."""
    if len(value) > MAX_ORDER_CHARACTERS or value in answers.texts:
        return False
    names = SEPARATOR.split(value.strip())
    if len(names) < 2 or len(set(names)) < len(names):
        return False
    if all(PLACE.fullmatch(name) for name in names):
        # "2>1>3" contains an order. "2,1" can have another meaning unless it names every response.
        return bool(re.search(r"[><≻≺]", value)) or sorted(map(int, names)) in (
            list(range(len(answers.texts))),
            list(range(1, len(answers.texts) + 1)),
        )
    return all(is_name_of(name, answers) for name in names)


def _is_in_pairs(value: object, count: int) -> bool:
    """Whether the value is a table with one row and one column per response, or a list of pairs of response
    numbers."""
    lists: list[Any] = [listed(item) for item in listed(value) or ()]
    if not lists or not all(item and all(map(is_number, item)) for item in lists):
        return False
    square = count > 1 and len(lists) == count and all(len(item) == count for item in lists)
    return square or all(
        len(item) == 2 and all(_is_place(number, count) for number in item) for item in lists
    )


def _is_place(value: Any, count: int) -> bool:
    number = whole_of(float(value))
    return number is not None and 0 <= number <= count
