"""Lists and dictionaries that were written as Python code instead of JSON.

If a table with lists is saved as CSV, its cells contain Python code such as `[{'role': 'user', 'content':
"What's 9*9?"}]`. NumPy writes no commas between the items of an array and can wrap it in `array(…,
dtype=object)`. Nothing is evaluated.
"""

from __future__ import annotations

import re
import sys
from typing import Any

MAX_DEPTH = 50
STARTS = ("[", "{", "(", "array(", "np.array(", "numpy.array(")
SPACE = re.compile(r"\s*")
STRING = re.compile(r"""[bu]?(?:'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")""", re.DOTALL)
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
WORD = re.compile(r"[A-Za-z_][\w.]*")
WORDS = {"None": None, "True": True, "False": False, "null": None, "true": True, "false": False}
WORDS |= {"np.True_": True, "np.False_": False}
# Missing values and infinite numbers in a table; they become None, because JSON can't represent them.
MISSING = frozenset({"nan", "NaN", "NaT", "NA", "inf", "Infinity"})
WRAPPER = re.compile(
    r"(?:(?:np|numpy|pd|pandas)\.)?(?:array|list|tuple|str_|bool_|bool|Timestamp|(?:float|u?int)\d+)"
)
ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\n": "", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
ESCAPES |= {mark: mark for mark in "\\'\""}
MAX_DIGITS = 400


def looks_like_literal(text: str) -> bool:
    return text.lstrip().startswith(STARTS)


def literal_of(text: str) -> Any:
    """The value of a list, tuple, dictionary or array. Raises ValueError for anything else."""
    found, place = _value(text, 0, 0)
    place = _after_space(text, place)
    if place != len(text):
        raise _unexpected(text, place)
    return found


def _value(text: str, place: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH:
        raise ValueError(f"the text is nested deeper than {MAX_DEPTH} levels")
    place = _after_space(text, place)
    mark = text[place : place + 1]
    if mark == "[" or mark == "(":
        return _items(text, place + 1, "]" if mark == "[" else ")", depth)
    if mark == "{":
        return _pairs(text, place + 1, depth)
    if match := STRING.match(text, place):
        return _string(match[0]), match.end()
    if match := NUMBER.match(text, place):
        return _number(match[0]), match.end()
    if mark in ("-", "+") and WORD.match(text, place + 1):
        place += 1
    match = WORD.match(text, place)
    if match is None:
        raise _unexpected(text, place)
    word, end = match[0], match.end()
    if word in WORDS:
        return WORDS[word], end
    if text.startswith("(", end) and WRAPPER.fullmatch(word):
        return _wrapped(text, end + 1, depth)
    if word.rpartition(".")[2] in MISSING:
        return None, end
    raise _unexpected(text, place)


def _items(text: str, place: int, close: str, depth: int) -> tuple[list[Any], int]:
    """Items up to the closing bracket. Adjacent strings are separate items: NumPy writes no commas."""
    items: list[Any] = []
    place = _after_space(text, place)
    while not text.startswith(close, place):
        item, place = _value(text, place, depth + 1)
        items.append(item)
        place = _after_space(text, place)
        if text.startswith(",", place):
            place = _after_space(text, place + 1)
    return items, place + 1


def _pairs(text: str, place: int, depth: int) -> tuple[dict[str, Any], int]:
    pairs: dict[str, Any] = {}
    place = _after_space(text, place)
    while not text.startswith("}", place):
        key, place = _value(text, place, depth + 1)
        if not isinstance(key, (str, int, float)):
            raise ValueError("a key is neither text nor a number")
        place = _after_space(text, place)
        if not text.startswith(":", place):
            raise _unexpected(text, place)
        pairs[str(key)], place = _value(text, place + 1, depth + 1)
        place = _after_space(text, place)
        if text.startswith(",", place):
            place = _after_space(text, place + 1)
        elif not text.startswith("}", place):
            raise _unexpected(text, place)
    return pairs, place + 1


def _wrapped(text: str, place: int, depth: int) -> tuple[Any, int]:
    """The first argument of `array(…)` and similar calls. Keyword arguments (dtype, shape) are ignored."""
    found, place = _value(text, place, depth + 1)
    place = _after_space(text, place)
    while text.startswith(",", place):
        place = _after_space(text, place + 1)
        match = WORD.match(text, place)
        if match is None or not text.startswith("=", match.end()):
            break
        place = match.end() + 1
        value = WORD.match(text, place)
        place = value.end() if value else _value(text, place, depth + 1)[1]
        place = _after_space(text, place)
    if not text.startswith(")", place):
        raise _unexpected(text, place)
    return found, place + 1


def _string(token: str) -> str:
    binary = token.startswith("b")
    token = token.lstrip("bu")[1:-1]
    plain = ESCAPE.sub(_escaped, token) if "\\" in token else token
    return plain.encode("latin-1").decode() if binary else plain


def _escaped(match: re.Match[str]) -> str:
    name = match[1]
    if len(name) > 1:
        number = int(name[1:], 16)
        if number > sys.maxunicode:
            raise ValueError(f"{match[0]} is not a Unicode character")
        return chr(number)
    return ESCAPES.get(name, match[0])


def _number(token: str) -> int | float | None:
    if len(token) > MAX_DIGITS:
        raise ValueError("a number is too long")
    if token.lstrip("+-").isdecimal():
        return int(token)
    number = float(token)
    return None if number in (float("inf"), float("-inf")) else number


def _after_space(text: str, place: int) -> int:
    return SPACE.match(text, place).end()  # type: ignore[union-attr]


def _unexpected(text: str, place: int) -> ValueError:
    if place >= len(text):
        return ValueError("the text ends in the middle of a value")
    if text[place] in "'\"":
        return ValueError(f"the string that starts at character {place} is not closed")
    return ValueError(f"unexpected {text[place : place + 20]!r} at character {place}")
