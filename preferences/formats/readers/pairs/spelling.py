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
from preferences.formats.readers.table.numbers_in_cells import is_number
from preferences.formats.readers.table.unread import Sample
from preferences.formats.readers.table.votes import is_name_of
from preferences.records import FormatError, Row

# Names that can also be the names of scores. They are not the sides of a pair if their cells are numbers.
BEST_OR_SCORE = frozenset({("good",), ("positive",)})
WORST_OR_SCORE = frozenset({("bad",), ("negative",)})
BEST: frozenset[tuple[str, ...]] = BEST_OR_SCORE | {
    *(("chosen",), ("preferred",), ("accepted",), ("better",), ("best",), ("winning",), ("winner",)),
}
WORST: frozenset[tuple[str, ...]] = WORST_OR_SCORE | {
    *(("rejected",), ("non", "preferred"), ("dispreferred",), ("unpreferred",), ("worse",), ("worst",)),
    *(("losing",), ("loser",)),
}


def side_names(row: Row) -> tuple[str, str] | None:
    """The columns of the chosen and the rejected response; None if the row does not have both."""
    if all(_is_filled(row, side) for side in SIDES):
        return None if _name_responses(row) else (SIDES[0], SIDES[1])
    if any(side in row for side in SIDES):
        return None
    best, worst = _named_sides(row, BEST), _named_sides(row, WORST)
    named = [name for name in (*best, *worst) if RESPONSE_WORDS & set(words_of(name))]
    if not len(best) == len(worst) == 1 or len(named) != 2 or _has_responses(row):
        return None
    return best[0], worst[0]


def unclear_sides(row: Row) -> tuple[str, str] | None:
    """Two columns such as `better` and `worse`, in a row without other responses. The columns can contain the
    two responses, but also something else, such as the names of models."""
    best, worst = _named_sides(row, BEST), _named_sides(row, WORST)
    if not (best and worst) or _has_responses(row) or side_names(row) is not None:
        return None
    return best[0], worst[0]


def _named_sides(row: Row, side: frozenset[tuple[str, ...]]) -> list[str]:
    """The row's filled columns whose name, without words for a response, is in `side`."""
    found = []
    for name in row:
        rest = tuple(word for word in words_of(name) if word not in RESPONSE_WORDS)
        is_score = rest in BEST_OR_SCORE | WORST_OR_SCORE and is_number(row[name])
        if rest in side and _is_filled(row, name) and not is_score:
            found.append(name)
    return found


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
