"""A sample of a table's first rows, and the columns that look like a vote but can't be read as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preferences.fields import given
from preferences.formats.readers.columns.names import Group, groups_of, words_of
from preferences.formats.readers.columns.vocabulary import (
    ASPECT_WORDS,
    COUNT_WORDS,
    NUMBER_NAMES,
    ORDER_WORDS,
    OTHER_WORDS,
    RANK_WORDS,
    SCORE_WORDS,
    WINNER_WORDS,
)
from preferences.formats.readers.table.cells import ids_of, listed, replies_of
from preferences.formats.readers.table.votes import (
    Answers,
    is_name_of,
    is_number,
    named_numbers,
    vote_names,
    winner_priority,
)
from preferences.records import FormatError, Row, RowError

MAX_DEPTH = 4


class Sample:
    """The first rows of a file, with each row's responses."""

    def __init__(
        self, rows: Sequence[Row], columns: tuple[str, ...], models: tuple[str, ...], numbers: tuple[int, ...]
    ) -> None:
        self.columns = columns
        self.numbers = numbers
        self.rows: list[tuple[Row, Answers]] = []
        self.items: list[list[Any]] = []
        for row in rows:
            try:
                replies = replies_of(row, columns)
            except RowError:
                continue
            named = tuple(str(row.get(model) or "") for model in models)
            of_columns = columns if len(columns) > 1 else ()
            self.rows.append((row, Answers(replies.texts, named, of_columns, numbers, ids_of(replies.items))))
            self.items.append([item for item in replies.items if isinstance(item, dict)])

    def values(self, name: str) -> list[tuple[Any, Answers]]:
        """The filled cells of a column, each with its row's responses."""
        return [(row[name], answers) for row, answers in self.rows if given(row.get(name))]


def refused(reasons: dict[str, str]) -> FormatError:
    """The error for a file with votes that can't be read; `reasons` maps each column to the reason."""
    named = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    return FormatError(
        f"Some columns look like votes but can't be read: {named}. Nothing was imported, because responses"
        " that have already been ranked would become open tasks. Choose the columns to read, or ignore the"
        " votes (on the command line: --map vote=COLUMN or --map vote=none)."
    )


def flag_key(sample: Sample) -> str:
    """The key that is true for the best of the listed responses; empty if there is no such key. Raises
    FormatError if a key looks like a vote but is neither true nor false."""
    items = [item for row in sample.items for item in row]
    keys = dict.fromkeys(key for item in items for key in item if winner_priority(key) < len(WINNER_WORDS))
    values = {key: [item[key] for item in items if given(item.get(key))] for key in keys}
    filled = {key: found for key, found in values.items() if found}
    unclear = {key: found for key, found in filled.items() if not all(map(is_flag, found))}
    if unclear:
        shown = {key: str(found[0])[:40] for key, found in unclear.items()}
        raise refused({key: f"{value!r} is neither true nor false" for key, value in shown.items()})
    if len(filled) > 1:
        raise refused(dict.fromkeys(filled, "several fields of the responses can be read as the vote"))
    return next(iter(filled), "")


def unread_scores(sample: Sample, names: list[str]) -> list[str]:
    """The columns, or keys of listed responses, with a score per response."""
    groups = [
        name
        for group in groups_for(names, len(sample.rows[0][1].texts))
        if SCORE_WORDS & set(group.words)
        or (_can_be_scores(group.words) and all(_has_numbers(sample, name) for name in group.columns))
        for name in group.columns
    ]
    keys = [
        key
        for items in sample.items
        for item in items
        for key in (*named_numbers(item)[1], *(key for key in item if _is_aspect(key, item[key])))
    ]
    lists = [
        name
        for name in names
        if (name in vote_names(tuple(names)) or (words_of(name) and _can_be_scores(words_of(name))))
        and sample.values(name)
        and all(listed(value) for value, _ in sample.values(name))
    ]
    single = [
        name
        for name in vote_names(tuple(names))
        if name not in lists and sample.values(name) and not ORDER_WORDS & set(words_of(name))
    ]
    single += [name for name in names if name.lower() in NUMBER_NAMES and _has_numbers(sample, name)]
    return [*groups, *dict.fromkeys(keys), *lists, *(name for name in single if name not in groups)]


def nested_votes(sample: Sample, names: list[str]) -> dict[str, str]:
    """The columns whose objects, or lists of objects, contain a vote, with the reason why the vote is not
    read."""
    found: dict[str, str] = {}
    for name in (*names, "metadata"):
        counts = bool(COUNT_WORDS & set(words_of(name)))
        for value, answers in sample.values(name):
            key = _vote_inside(value, answers)
            if key is None and counts and isinstance(value, dict):
                key = next(iter(value), None)
            if key is not None:
                found[name] = f"{key} is inside an object; write one row per vote, with its fields as columns"
                break
    return found


def _vote_inside(value: object, answers: Answers, depth: int = MAX_DEPTH) -> str | None:
    """A key that looks like a vote, at any depth. Turns of a conversation are not searched."""
    if not depth:
        return None
    if isinstance(value, list):
        inner = (_vote_inside(item, answers, depth - 1) for item in value if isinstance(item, (dict, list)))
        return next((key for key in inner if key is not None), None)
    if not isinstance(value, dict) or {"role", "from"} & value.keys():
        return None
    for key, item in value.items():
        if _is_vote(key, item, answers):
            return str(key)
        deeper = _vote_inside(item, answers, depth - 1)
        if deeper is not None:
            return deeper
    return None


def _is_vote(key: str, value: object, answers: Answers) -> bool:
    words = set(words_of(key))
    if not value and not isinstance(value, (int, float)):
        return False
    if isinstance(value, (dict, list)):
        return bool(words & RANK_WORDS)
    if words & OTHER_WORDS or "id" in words:
        return False
    return bool(words & {*WINNER_WORDS, *RANK_WORDS}) or (
        isinstance(value, str) and is_name_of(value, answers)
    )


def _can_be_scores(words: Sequence[str]) -> bool:
    """Whether columns with one value per response can hold scores, given the words that their names share:
    `helpfulness` for `helpfulness_a`, none for `a` and `b`."""
    said = set(words)
    return not said or (not said & OTHER_WORDS and bool(said & (COUNT_WORDS | ASPECT_WORDS)))


def _is_aspect(key: str, value: object) -> bool:
    words = words_of(key)
    return bool(words) and _can_be_scores(words) and is_number(value)


def _has_numbers(sample: Sample, name: str) -> bool:
    values = sample.values(name)
    return bool(values) and all(is_number(value) for value, _ in values)


def unclear(sample: Sample, name: str) -> str:
    """The reason why a column or key that looks like a score is not read."""
    cells = [listed(value) or [value] for value, _ in sample.values(name)]
    if any(isinstance(value, str) and not is_number(value) for cell in cells for value in cell):
        return "it isn't known which response its values refer to"
    return "it isn't known whether a higher number is better"


def groups_for(names: Sequence[str], count: int) -> list[Group]:
    return [group for group in groups_of(names) if len(group.columns) == count]


def is_flag(value: object) -> bool:
    return str(value).strip().lower() in {"0", "1", "0.0", "1.0", "true", "false", "yes", "no"}
