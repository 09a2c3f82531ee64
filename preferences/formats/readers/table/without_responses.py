"""Columns that look like votes in a file whose rows have no known responses.

If such a file were read as prompts or demonstrations, its votes would only be kept as metadata, and people
would be asked to rank again.
"""

from __future__ import annotations

from collections.abc import Sequence

from preferences.fields import given
from preferences.formats.readers.columns.names import LETTERS, words_of
from preferences.formats.readers.columns.vocabulary import ORDER_WORDS, OTHER_WORDS, RANK_WORDS
from preferences.formats.readers.pairs.spelling import unclear_sides
from preferences.formats.readers.table.left_over import is_place
from preferences.formats.readers.table.left_over_cells import (
    MAX_ORDER_CHARACTERS,
    SEPARATOR,
    names_in_order,
)
from preferences.formats.readers.table.votes import Answers, is_name_of
from preferences.records import FormatError, Row

# The WINNER_WORDS that leave no doubt. A `choice` or a `decision` can belong to the prompt: the letter of the
# correct answer to a test question, for example.
VERDICTS = frozenset(
    words_of(
        "winner preferred preference pref better verdict judgement judgment vote voted"
        " gewinner sieger bevorzugt urteil"
    )
)
# The VERDICTS whose numbers can be counts instead of the numbers of responses.
COUNTS = frozenset({"vote", "voted"})


def check_no_vote_without_responses(rows: Sequence[Row]) -> None:
    """Raise FormatError if a column looks like a vote."""
    for row in rows:
        sides = unclear_sides(row)
        if sides is not None:
            raise FormatError(
                f"The columns {sides[0]} and {sides[1]} could contain the better and the worse response."
                " Nothing was imported, because this preference would otherwise be lost. If the columns"
                " contain responses, rename them to chosen and rejected. Otherwise, rename them so that they"
                " don't look like a vote."
            )
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if _is_vote(rows, name)]
    if names:
        raise FormatError(
            f"Some columns look like votes, but no responses were found: {', '.join(names)}. Nothing was"
            " imported, because the votes would otherwise be lost. Name the columns of the responses"
            " response_1, response_2 and so on, or remove the columns that look like votes."
        )


def _is_vote(rows: Sequence[Row], name: str) -> bool:
    """Whether the column's name suggests a vote, and each of its cells names a response or an order."""
    words = set(words_of(name))
    if words & OTHER_WORDS or "id" in words:
        return False
    cells = [row[name] for row in rows if given(row.get(name))]
    if not cells:
        return False
    if words & {*RANK_WORDS, *ORDER_WORDS} and all(map(_is_order, cells)):
        return True
    if words & VERDICTS - COUNTS and all(is_place(cell, len(LETTERS)) for cell in cells):
        return True
    return bool(words & VERDICTS) and all(map(_is_name, cells))


def _is_name(cell: object) -> bool:
    return isinstance(cell, str) and is_name_of(cell, _answers(len(LETTERS)))


def _is_order(cell: object) -> bool:
    if not isinstance(cell, str):
        return False
    counts = (len(LETTERS), len(SEPARATOR.split(cell[:MAX_ORDER_CHARACTERS].strip())))
    return any(names_in_order(cell, _answers(count)) for count in counts)


def _answers(count: int) -> Answers:
    """Placeholders for the responses, which the file does not contain."""
    return Answers(texts=tuple(f"response {number}" for number in range(count)))
