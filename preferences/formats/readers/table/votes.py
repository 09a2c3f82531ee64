"""Find the columns that contain a vote, and read the vote.

A vote is one of:

- a winner: a column whose cells name a response (`A`, `response_b`, `Answer 2`, `left`, its model or its
  whole text), a tie (`tie`, `draw`, `equal`), or a tie of bad responses (`both_bad`, `neither`);
- one column per outcome, with 1 in one of them (`winner_model_a`, `winner_model_b`, `winner_tie`);
- one rank per response: columns (`rank_a`), a list (`ranks`), or a key of each listed response (`rank`); 1 is
  best, and equal ranks tie.

Nothing is guessed. Whether a higher or a lower score is better, and whether the number 1 means the first or
the second response, must follow from the names or from the values of the first rows. A cell that could name
two responses is not read as a vote: for example, the cell `A` if the text of the second response is the
letter A.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from preferences.fields import given
from preferences.formats.readers.columns.names import LETTERS, PAIRS, Group, groups_of, words_of
from preferences.formats.readers.columns.vocabulary import (
    ADVERBS,
    BOTH_BAD,
    FILLER,
    LOSER_WORDS,
    NEGATIONS,
    ORDER_WORDS,
    OTHER_WORDS,
    RANK_WORDS,
    SCORE_WORDS,
    TIES,
    WINNER_WORDS,
)
from preferences.formats.readers.table.numbers_in_cells import (
    is_number,
    number_of,
    truth_value,
    whole_number,
)
from preferences.records import Row, RowError, Tiers

# Matches "[[A>>B]]", the notation of arena-hard's judges.
RELATION = re.compile(r"\[*\s*([ab])\s*([<>=]{1,3})\s*([ab])\s*\]*", re.IGNORECASE)
# Matches the beginning of sentences such as "B is better" and "Response A wins".
SENTENCE = re.compile(
    r"\s*(\w+\s+)?([a-j]|\d|left|right|first|second)(\s+\w+)?\s+(is|wins|was|ist)\b", re.IGNORECASE
)
MAX_VERDICT_CHARACTERS = 80
MAX_NAME_CHARACTERS = 20


@dataclass(frozen=True, slots=True)
class Verdict:
    """The order that a vote expresses. Only values such as "A is slightly better" and "A>>B" express a
    `strength`."""

    tiers: Tiers
    all_bad: bool = False
    strength: int | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """The values with which a cell can identify a response of its row: the response's text, model or column,
    the number in the column's name, or the ID of a listed response."""

    texts: tuple[str, ...]
    models: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Winner:
    """A column that names the best response. `first` is the number of the first response if the column
    contains numbers and the names of the response columns contain no numbers."""

    column: str
    first: int | None = None


@dataclass(frozen=True, slots=True)
class OneHot:
    """One column per outcome. The column of the row's outcome contains 1 or true."""

    columns: tuple[str, ...]
    tie: str = ""
    both_bad: str = ""


@dataclass(frozen=True, slots=True)
class Flagged:
    """A key of the listed responses; its value is 1 or true for the best response."""

    key: str


@dataclass(frozen=True, slots=True)
class Numbers:
    """One number per response: in `columns`, in a list, or under a key of each listed response. `ranks` is
    true if the numbers must be ranks from 1."""

    columns: tuple[str, ...] = ()
    list_column: str = ""
    key: str = ""
    higher_wins: bool = False
    ranks: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """A number whose sign determines which of two responses is better. 0 is a tie, and the absolute value of
    a whole number is the strength."""

    column: str
    negative_is_first: bool


VoteColumns = Winner | OneHot | Flagged | Numbers | Signed


@lru_cache(maxsize=256)
def vote_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns whose names alone show that they contain a vote."""
    return tuple(
        name
        for name in names
        if (words := set(words_of(name)))
        and not words & OTHER_WORDS
        and not words.isdisjoint({*WINNER_WORDS, *RANK_WORDS, *SCORE_WORDS, *ORDER_WORDS})
    )


def has_winner(row: Row) -> bool:
    """Whether the row has a value in a column whose name suggests a winner."""
    return _winner_name(row) is not None


LATE_VOTE = "the first rows of the file have no vote; move a row with a vote to the beginning of the file"


def check_no_vote(row: Row, reason: str = LATE_VOTE) -> None:
    """Raise RowError if a row that is read without a vote has a value in a column whose name suggests a
    winner. `reason` states why this column is not read."""
    name = _winner_name(row)
    if name is not None:
        raise RowError(f"{name} looks like a vote, but {reason}")


def _winner_name(row: Row) -> str | None:
    suspicious = vote_names(tuple(row))
    return next(
        (name for name in suspicious if winner_priority(name) < len(WINNER_WORDS) and given(row[name])), None
    )


@lru_cache(maxsize=1024)
def winner_priority(name: str) -> int:
    """The index of the first of WINNER_WORDS that is in the column's name. If the name contains none of these
    words, the index is len(WINNER_WORDS)."""
    words = words_of(name)
    if OTHER_WORDS & set(words) or names_the_loser(name):
        return len(WINNER_WORDS)
    return next((index for index, word in enumerate(WINNER_WORDS) if word in words), len(WINNER_WORDS))


def names_the_loser(name: str) -> bool:
    """Whether a column's name shows that its cells name the worse response."""
    words = words_of(name)
    return not LOSER_WORDS.isdisjoint(words) or any(
        one in NEGATIONS and two in WINNER_WORDS for one, two in pairwise(words)
    )


@lru_cache(maxsize=256)
def is_index(name: str) -> bool:
    """Whether a column's name shows that the column contains the index of a response."""
    return not {"index", "idx"}.isdisjoint(words_of(name))


def answers_for(name: str, answers: Answers) -> Answers:
    """The values by which this column can identify a response. For a column of indices, IDs are left out."""
    return replace(answers, ids=()) if is_index(name) else answers


def winner_of(value: object, answers: Answers, first: int | None = None) -> Verdict | None:
    """The verdict that a cell expresses; None if the cell is empty. Raises RowError if the cell names no
    response.

    `first`: see :class:`Winner`.
    """
    if not given(value) or (isinstance(value, str) and not value.strip()):
        return None
    count = len(answers.texts)
    if isinstance(value, list):
        if len(value) > 1:
            raise RowError(f"it names {len(value)} responses, but not their order")
        return winner_of(value[0], answers, first) if value else None
    if str(value) in answers.ids:
        return _won_by(answers.ids.index(str(value)), count)
    text = value.strip() if isinstance(value, str) else ""
    places = _places_of(text, answers) if text else set()
    number = whole_number(value)
    if number is not None:
        index = _index_of_number(number, answers, first)
        if index is None:
            raise RowError(f"{number} is not the number of a response")
        return _only({_won_by(place, count) for place in {index, *places}}, text)
    if not isinstance(value, str):
        raise RowError(f"{str(value)[:40]!r} names no response")
    if places:
        verdicts = {_won_by(place, count) for place in places}
        return _only(verdicts | _read_as_name(text, answers, first), text)
    if len(text) > MAX_VERDICT_CHARACTERS:
        raise RowError(f"{text[:40]!r}… is not the text of any response")
    if text.lower() == "none":
        raise RowError("'None' could be a missing value, or could mean that no response is good")
    return _spoken(text, answers, first)


def _places_of(text: str, answers: Answers) -> set[int]:
    """The indices of the responses whose text, model or column is `text`. A text or a model that several
    responses share is ignored."""
    places: set[int] = set()
    for names in (answers.texts, answers.models, answers.columns):
        same = [place for place, name in enumerate(names) if name.strip() == text]
        if len(same) == 1:
            places.add(same[0])
    return places


def _read_as_name(text: str, answers: Answers, first: int | None) -> set[Verdict]:
    """Return a set with the verdict that `text` expresses in words, or an empty set if it expresses none.
    `text` is also the text, the model or the column of a response: for example, the text of response A can be
    the letter B."""
    if len(text) > MAX_NAME_CHARACTERS:
        return set()
    try:
        return {_spoken(text, answers, first)}
    except RowError:
        return set()


def _only(verdicts: Collection[Verdict], text: str) -> Verdict:
    if len({(verdict.tiers, verdict.all_bad) for verdict in verdicts}) > 1:
        raise RowError(f"{text[:40]!r} is ambiguous: it could mean several responses")
    return next(iter(verdicts))


def verdict_of_answer(question: str, value: object, answers: Answers) -> Verdict | None:
    """The verdict that an annotator chose as the answer to a question. None if the question's name does not
    suggest a vote, or if the answer names no response."""
    if winner_priority(question) == len(WINNER_WORDS) or not isinstance(value, str):
        return None
    try:
        return winner_of(value, answers)
    except RowError:
        return None


def is_name_of(value: str, answers: Answers) -> bool:
    """Whether a short cell only names a response or a tie (`B`, `model_a`), or states that a response is
    better ("A is better"). Used for columns whose names don't suggest a vote. In such a column, a phrase such
    as "A better answer" is not a vote."""
    if is_number(value) and value not in answers.texts:
        return False  # in CSV, a number can have any meaning
    long = len(value) > MAX_NAME_CHARACTERS or len(words_of(value)) > 2
    if value not in answers.texts and long and not SENTENCE.match(value):
        return False
    try:
        return winner_of(value, answers, 1) is not None
    except RowError:
        return False


def one_hot_of(row: Row, columns: OneHot) -> Verdict | None:
    """The verdict for the outcome whose column contains 1 or true; None if all columns are empty."""
    names = [*columns.columns, *filter(None, (columns.tie, columns.both_bad))]
    if not any(given(row.get(name)) for name in names):
        return None
    won = [name for name in names if truth_value(row.get(name), name)]
    if len(won) != 1:
        which = ", ".join(won) or "none"
        raise RowError(f"exactly one of {', '.join(names)} must be 1; columns with 1: {which}")
    count = len(columns.columns)
    if won[0] in columns.columns:
        return _won_by(columns.columns.index(won[0]), count)
    return Verdict((tuple(range(count)),), all_bad=won[0] == columns.both_bad)


def flagged_of(items: Sequence[object], vote: Flagged) -> Verdict | None:
    """The verdict for the response whose key is 1 or true; None if there is no such response."""
    won = [
        index
        for index, item in enumerate(items)
        if isinstance(item, Mapping) and truth_value(item.get(vote.key), vote.key)
    ]
    if len(won) > 1:
        raise RowError(f"{vote.key} is true for {len(won)} responses, but does not order them")
    return _won_by(won[0], len(items)) if won else None


def numbers_of(
    values: Sequence[object], name: str, *, higher_wins: bool, ranks: bool = False
) -> Verdict | None:
    """The tiers that follow from the ranks or scores of the responses. Responses without a number stay
    unranked, below all others. None if there are fewer than two numbers. With `ranks`, raises RowError if the
    numbers are not ranks from 1."""
    numbers = {
        index: found for index, value in enumerate(values) if (found := number_of(value, name)) is not None
    }
    if len(numbers) < 2:
        return None
    ordered = sorted(set(numbers.values()), reverse=higher_wins)
    if ranks and not all(number.is_integer() and number >= 1 for number in ordered):
        raise RowError(f"{name} has the ranks {', '.join(map(str, values))}; ranks are whole numbers from 1")
    return Verdict(
        tuple(tuple(index for index, number in numbers.items() if number == one) for one in ordered)
    )


def signed_of(value: object, vote: Signed) -> Verdict | None:
    """The verdict that a signed number expresses; None if the cell is empty."""
    number = number_of(value, vote.column)
    if number is None:
        return None
    if number == 0:
        return Verdict(((0, 1),))
    strength = int(abs(number)) if number.is_integer() else None
    return _won_by(0 if (number < 0) == vote.negative_is_first else 1, 2, strength)


def one_hot_columns(names: Iterable[str], count: int) -> OneHot | None:
    """Find the columns of a one-hot vote on `count` responses; None if `names` contains no such columns."""
    names = list(names)
    for group in groups_of(names):
        if len(group.columns) != count or not _says_winner(group):
            continue
        stem = set(group.words)
        rest = [name for name in names if name not in group.columns and stem & set(words_of(name))]
        both_bad = next((name for name in rest if _both_bad(words_of(name))), "")
        tie = next((name for name in rest if name != both_bad and TIES & set(words_of(name))), "")
        return OneHot(group.columns, tie, both_bad)
    return None


def _says_winner(group: Group) -> bool:
    return (
        bool(set(group.words) & set(WINNER_WORDS))
        and not set(group.words) & OTHER_WORDS
        and not any(map(names_the_loser, group.columns))
    )


def _both_bad(words: Collection[str]) -> bool:
    said = set(words)
    return bool(BOTH_BAD & said) or {"both", "bad"} <= said or {"beide", "schlecht"} <= said


def _spoken(text: str, answers: Answers, first: int | None) -> Verdict:
    """The verdict that a text expresses in words, such as "Response A is slightly better"."""
    count = len(answers.texts)
    if count == 2 and (relation := RELATION.fullmatch(text)):
        one, sign, two = relation.groups()
        if one.lower() != two.lower():
            return _related(LETTERS.index(one.lower()), sign)
    words = [word for word in words_of(text) if word not in FILLER]
    strength = next((ADVERBS[word] for word in words if word in ADVERBS), None)
    words = [word for word in words if word not in ADVERBS]
    if _both_bad(words):
        return Verdict((tuple(range(count)),), all_bad=True)
    if words and set(words) <= TIES:
        return Verdict((tuple(range(count)),))
    named = {index for word in words if (index := _index_of_word(word, answers, first)) is not None}
    if len(named) != 1 or len(words) != 1:
        raise RowError(f"{text[:40]!r} names no response")
    return _won_by(named.pop(), count, strength)


def _index_of_word(word: str, answers: Answers, first: int | None) -> int | None:
    count = len(answers.texts)
    if word.isdecimal():
        return _index_of_number(int(word), answers, 1 if first is None else first)
    if len(word) == 1 and word in LETTERS[:count]:
        return LETTERS.index(word)
    return next((pair.index(word) for pair in PAIRS if word in pair and count == 2), None)


def _index_of_number(number: int, answers: Answers, first: int | None) -> int | None:
    if answers.numbers:
        return answers.numbers.index(number) if number in answers.numbers else None
    if first is None:
        raise RowError(f"{number} could mean the first or the second response")
    return number - first if first <= number < first + len(answers.texts) else None


def _related(one: int, sign: str) -> Verdict:
    if set(sign) == {"="}:
        return Verdict(((0, 1),))
    if set(sign) == {">"}:
        return _won_by(one, 2, len(sign) if len(sign) > 1 else None)
    if set(sign) == {"<"}:
        return _won_by(1 - one, 2, len(sign) if len(sign) > 1 else None)
    raise RowError(f"the sign {sign!r} is neither >, < nor =")


def _won_by(index: int, count: int, strength: int | None = None) -> Verdict:
    others = tuple(other for other in range(count) if other != index)
    # If there are several other responses, they have no order among themselves and stay unranked.
    return Verdict(((index,), others) if count == 2 else ((index,),), strength=strength)
