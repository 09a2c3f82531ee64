"""The words of a column's name, and groups of columns whose names differ only in the response they refer to.

`response_a`, `Response B`, `answer1`, `is_response_0_safe` and `winner_model_b` all name one of the responses
by a letter, a number, or left/right.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

WORD = re.compile(r"[A-ZÀ-Þ]?[a-zß-ÿ]+|[A-ZÀ-Þ]+(?![a-zß-ÿ])|\d+")
LETTERS = "abcdefghij"
PAIRS = (("left", "right"), ("first", "second"))
MAX_NUMBER = 10


@dataclass(frozen=True, slots=True)
class Group:
    """Columns whose names differ only in the word that identifies the response.

    `words` are the shared words; `columns` are the names of the columns in the order of the responses;
    `numbers` contains the responses' numbers if the names contain numbers, and is otherwise empty.
    """

    words: tuple[str, ...]
    columns: tuple[str, ...]
    numbers: tuple[int, ...] = ()


def words_of(name: str) -> tuple[str, ...]:
    """`"Winner model-A"` → `("winner", "model", "a")`."""
    return tuple(word.lower() for word in WORD.findall(name))


@lru_cache(maxsize=1024)
def key_of(name: str) -> str:
    """`"Worker ID"` and `"WorkerId"` → `"worker_id"`."""
    return "_".join(words_of(name))


def groups_of(names: Iterable[str]) -> list[Group]:
    """All groups of at least two columns, in the order of the file.

    Letters start at a, and numbers start at 0 or 1. A group with a gap is ignored. Columns can also form a
    pair with the words left/right or first/second.
    """
    found: dict[tuple[str, tuple[str, ...], int], dict[int, str]] = defaultdict(dict)
    for name in names:
        words = words_of(name)
        for index, word in enumerate(words):
            for kind, place in places_of(word):
                rest = (*words[:index], *words[index + 1 :])
                found[kind, rest, index].setdefault(place, name)
    groups = []
    for (kind, words, _), columns in found.items():
        places = sorted(columns)
        if len(places) > 1 and places[0] <= 1 and places == list(range(places[0], places[-1] + 1)):
            if kind != "number" and places[0] != 0:
                continue
            numbers = tuple(places) if kind == "number" else ()
            groups.append(Group(words, tuple(columns[place] for place in places), numbers))
    return groups


def places_of(word: str) -> Iterable[tuple[str, int]]:
    """The ways in which a word can identify a response: (kind, place), such as ("letter", 0) for `a`."""
    if word.isdecimal() and len(word) <= 2 and int(word) <= MAX_NUMBER:
        yield "number", int(word)
    if len(word) == 1 and word in LETTERS:
        yield "letter", LETTERS.index(word)
    for pair in PAIRS:
        if word in pair:
            yield pair[0], pair.index(word)
