"""Other names for `chosen` and `rejected`, such as `chosen_response` and `rejected_response`, or OpenAI's
`preferred_output` and `non_preferred_output`.

A name must contain a word for a response, such as `response` or `output`. If a row has further responses,
such a column can refer to one of them, so the file is read as a table. `chosen` and `rejected` themselves are
read as texts unless each of them contains a name, such as A or B, of a response in another column.
"""

from __future__ import annotations

from preferences.formats.readers.columns.names import groups_of, words_of
from preferences.formats.readers.columns.vocabulary import LIST_NAMES, RESPONSE_WORDS
from preferences.formats.readers.pairs.sides import SIDES
from preferences.formats.readers.table.mapping import model_columns, response_columns
from preferences.formats.readers.table.unread import Sample
from preferences.formats.readers.table.votes import is_name_of
from preferences.records import FormatError, Row

BEST: frozenset[tuple[str, ...]] = frozenset(
    {("chosen",), ("preferred",), ("accepted",), ("better",), ("winning",), ("winner",)}
)
WORST: frozenset[tuple[str, ...]] = frozenset(
    {("rejected",), ("non", "preferred"), ("dispreferred",), ("worse",), ("losing",), ("loser",)}
)


def side_names(row: Row) -> tuple[str, str] | None:
    """The columns of the chosen and the rejected response; None if the row does not have both."""
    if all(_is_filled(row, side) for side in SIDES):
        return None if _name_responses(row) else (SIDES[0], SIDES[1])
    if any(side in row for side in SIDES):
        return None
    found: dict[frozenset[tuple[str, ...]], list[str]] = {BEST: [], WORST: []}
    for name in row:
        words = words_of(name)
        rest = tuple(word for word in words if word not in RESPONSE_WORDS)
        for side, names in found.items():
            if rest in side and len(rest) < len(words) and _is_filled(row, name):
                names.append(name)
    if any(len(names) != 1 for names in found.values()) or _has_responses(row):
        return None
    return found[BEST][0], found[WORST][0]


def respelt(row: Row, names: tuple[str, str]) -> Row:
    """Return the row with the two fields in `names` renamed to `chosen` and `rejected`, and with OpenAI's
    `input.messages` moved to `messages`."""
    others = dict(zip(names, SIDES, strict=True))
    renamed = {others.get(name, name): value for name, value in row.items()}
    asked = renamed.get("input")
    if isinstance(asked, dict) and "messages" in asked and "messages" not in renamed:
        rest = {name: value for name, value in asked.items() if name != "messages"}
        del renamed["input"]
        return {**renamed, "messages": asked["messages"], **({"input_fields": rest} if rest else {})}
    return renamed


def _name_responses(row: Row) -> bool:
    """Whether `chosen` and `rejected` do not contain responses, but identify responses in other columns by a
    letter, a column, a model or an ID."""
    names = [name for name in row if name not in SIDES]
    if not all(isinstance(row[side], str) for side in SIDES) or not _has_responses(row):
        return False
    try:
        found = response_columns([row], names)
    except FormatError:
        return False
    if found is None:
        return False
    columns, numbers = found
    sample = Sample([row], columns, model_columns(names, len(columns)), numbers)
    return bool(sample.rows) and all(
        row[side] not in answers.texts and is_name_of(row[side], answers)
        for _, answers in sample.rows
        for side in SIDES
    )


def _is_filled(row: Row, name: str) -> bool:
    return isinstance(row.get(name), (str, list, dict)) and bool(row[name])


def _has_responses(row: Row) -> bool:
    return any(isinstance(row.get(name), list) for name in LIST_NAMES) or any(
        RESPONSE_WORDS & set(group.words) for group in groups_of(row)
    )
