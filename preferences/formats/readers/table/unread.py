"""A sample of a table's first rows, and the error for votes that can't be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from preferences.fields import given
from preferences.formats.readers.columns.names import Group, groups_of
from preferences.formats.readers.columns.vocabulary import WINNER_WORDS
from preferences.formats.readers.table.cells import ids_of, listed, replies_of
from preferences.formats.readers.table.votes import Answers, winner_priority
from preferences.records import FormatError, Row, RowError


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

    @property
    def count(self) -> int:
        """The number of responses in the first row."""
        return len(self.rows[0][1].texts)

    def all_items(self) -> list[dict[str, Any]]:
        """The listed responses of all rows."""
        return [item for items in self.items for item in items]

    def responses(self, row: Row, answers: Answers) -> list[dict[str, Any]]:
        """The responses of a row, each with its model and the ID by which other fields can refer to it."""
        items = listed(row.get(self.columns[0])) if len(self.columns) == 1 else None
        if items is not None:
            return [item if isinstance(item, dict) else {} for item in items]
        models = [*answers.models, *[""] * len(answers.columns)]
        return [
            {"id": column, "model": model} for column, model in zip(answers.columns, models, strict=False)
        ]

    def values(self, name: str) -> list[tuple[Any, Answers]]:
        """The filled cells of a column, each with its row's responses."""
        return [(row[name], answers) for row, answers in self.rows if given(row.get(name))]


def refused(reasons: dict[str, str]) -> FormatError:
    """The error for a file with votes that can't be read; `reasons` maps each column to the reason."""
    named = "; ".join(f"{name} ({reason})" for name, reason in reasons.items())
    return FormatError(
        f"Some columns look like votes but can't be read: {named}. Nothing was imported, because tasks that"
        " have already been ranked would otherwise be open for ranking. Choose the columns to read, or"
        " ignore the votes (on the command line: --map vote=COLUMN or --map vote=none)."
    )


def flag_key(sample: Sample) -> str:
    """The key that is true for the best of the listed responses; empty if there is no such key. Raises
    FormatError if a key looks like a vote but its values are not truth values, or if several keys look like
    votes."""
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


def groups_for(names: Sequence[str], count: int) -> list[Group]:
    return [group for group in groups_of(names) if len(group.columns) == count]


def is_flag(value: object) -> bool:
    return str(value).strip().lower() in {"0", "1", "0.0", "1.0", "true", "false", "yes", "no"}
