"""Columns and keys that look like votes although no rule reads them.

A table without a readable vote becomes open tasks only if nothing in its first rows looks like a vote. Each
check returns the columns that look like votes, with the reasons why they are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from preferences.fields import given, parsed_of, whole_of
from preferences.formats.readers.columns.names import groups_of, key_of, words_of
from preferences.formats.readers.columns.vocabulary import (
    APPROVAL_WORDS,
    ASPECT_WORDS,
    COUNT_WORDS,
    DIFFERENCE_NAMES,
    MEASURE_WORDS,
    NUMBER_NAMES,
    ORDER_WORDS,
    OTHER_WORDS,
    PEOPLE_WORDS,
    RANK_WORDS,
    SCORE_WORDS,
    SIGNED_NAMES,
    SIGNS,
    WINNER_WORDS,
)
from preferences.formats.readers.ranking_fields import by_response
from preferences.formats.readers.table.cells import TEXT_KEYS, listed
from preferences.formats.readers.table.left_over_cells import is_judgement, is_ratio, order_in
from preferences.formats.readers.table.numbers_in_cells import is_number, named_numbers
from preferences.formats.readers.table.unread import Sample, groups_for, is_flag
from preferences.formats.readers.table.votes import Answers, is_name_of, names_the_loser, vote_names
from preferences.records import RowError

MAX_DEPTH = 4
DIRECTION = "it isn't known whether a higher number is better"
WHICH = "it isn't known which response its values refer to"
ORDER = "its values don't show an order"
WORSE = "it names the worse response, not the better one"
SEVERAL = "it contains several votes; write one row per vote"
OBJECTS = "it contains objects; write one row per vote, with its fields as columns"
# Fields of Rankloop's own format that contain feedback other than an order.
FEEDBACK = ("ratings", "flags", "choices", "rewrite", "comment", "confidence")
# Words in the names of columns that count votes, such as `vote_count_a`.
COUNTED = frozenset({"count", "counts", "number", "num", "share", "rate"})
# The OTHER_WORDS that can occur in the name of a vote column, such as `chosen_by_annotator`.
HARMLESS = frozenset({"by", "name", "number", "num"})
KNOWN_KEYS = frozenset({"model", "sampling", "metadata", "id", *TEXT_KEYS})
Found = dict[str, str]


def left_over_votes(sample: Sample, names: Sequence[str], people: Sequence[str]) -> Found:
    """The columns that look like votes. `people` are the columns of annotators."""
    checks: tuple[Callable[[Sample, Sequence[str]], Found], ...] = (
        _scores,
        _scores_per_response,
        loser_columns,
        _differences,
        _names_of_responses,
        _orders,
        _votes_of_people,
        _votes_inside,
    )
    found: Found = {}
    for check in checks:
        found = check(sample, names) | found
    return _unread_ratings(sample) | _people_who_are_votes(sample, people) | found


def _scores(sample: Sample, names: Sequence[str]) -> Found:
    """Columns of values, columns of lists, and keys of listed responses, if the name of the column or key
    suggests a score."""
    suspicious = vote_names(tuple(names))
    groups = [
        name
        for group in groups_for(names, sample.count)
        if SCORE_WORDS & set(group.words)
        for name in group.columns
    ]
    keys = [key for item in sample.all_items() for key in named_numbers(item)[1]]
    lists = [
        name
        for name in names
        if (name in suspicious or _suggests_score(words_of(name)))
        and sample.values(name)
        and all(listed(value) for value, _ in sample.values(name))
    ]
    single = [
        name
        for name in suspicious
        if name not in lists and sample.values(name) and not ORDER_WORDS & set(words_of(name))
    ]
    single += [name for name in names if COUNT_WORDS & set(words_of(name)) and _all(sample, name, is_ratio)]
    single += [name for name in names if key_of(name) in NUMBER_NAMES and _all(sample, name, is_number)]
    found = dict.fromkeys([*groups, *dict.fromkeys(keys), *lists, *single])
    return {name: _unclear(sample, name) for name in found}


def _scores_per_response(sample: Sample, names: Sequence[str]) -> Found:
    """Columns of values, columns of lists, and keys of listed responses that contain a number or an approval
    for each response. Measurements, such as the length of each response, are left out."""
    found = [
        name
        for group in groups_for(names, sample.count)
        if all(
            (_can_be_scores(group.words) and _all(sample, name, _judges(group.words)))
            or _all(sample, name, is_judgement)
            for name in group.columns
        )
        for name in group.columns
    ]
    found += [
        name
        for name in names
        if words_of(name)
        and _can_be_scores(words_of(name))
        and (values := sample.values(name))
        and all(_is_score_list(value, answers, _judges(words_of(name))) for value, answers in values)
    ]
    return {name: _unclear(sample, name) for name in found} | _judged_items(sample)


def _judged_items(sample: Sample) -> Found:
    """The keys under which the listed responses contain a judgement, such as a score."""
    items = sample.all_items()
    found: Found = {}
    for key in dict.fromkeys(key for item in items for key in item if key not in KNOWN_KEYS):
        words = words_of(key)
        values = [item[key] for item in items if given(item.get(key))]
        if values and all(map(is_judgement, values)):
            found[key] = ORDER
        if not values or OTHER_WORDS & set(words):
            continue
        if words and _can_be_scores(words) and all(map(_judges(words), values)):
            found[key] = DIRECTION if all(map(is_number, values)) else ORDER
        elif {*SCORE_WORDS, *RANK_WORDS, *COUNT_WORDS} & set(words) and not all(map(is_number, values)):
            found[key] = ORDER
        elif names_the_loser(key) and any(value not in (False, 0) for value in values):
            found[key] = WORSE
    return found


def loser_columns(sample: Sample, names: Sequence[str]) -> Found:
    """Columns that contain the number of the worse response."""
    return {
        name: WORSE
        for name in names
        if names_the_loser(name)
        and _all(sample, name, lambda value: (number := whole_of(_number(value))) is not None and number >= 0)
        and not MEASURE_WORDS & set(words_of(name)) - {"id", "index", "idx"}
        and not OTHER_WORDS & set(words_of(name))
    }


def _differences(sample: Sample, names: Sequence[str]) -> Found:
    """Columns with a signed preference between two responses, and columns with a sign such as `>`."""
    if sample.count != 2:
        return {}
    # `names` does not include `strength`, because it is a field of Rankloop's own format.
    found = {}
    for name in dict.fromkeys((*names, "strength")):
        if not _all(sample, name, is_number):
            if _all(sample, name, lambda value: str(value).strip() in SIGNS):
                found[name] = "it isn't known which response is on the left of the sign"
            continue
        below = any(float(value) < 0 for value, _ in sample.values(name))
        if key_of(name) in DIFFERENCE_NAMES or (below and key_of(name) in SIGNED_NAMES):
            found[name] = "it isn't known which response a positive number favours"
    return found


def _names_of_responses(sample: Sample, names: Sequence[str]) -> Found:
    """Columns in which most cells name a response, and columns with lists of such names."""
    found = {}
    for name in names:
        # `choices` can list the answers to a test question.
        if "id" in words_of(name) or name in FEEDBACK:
            continue
        values = sample.values(name)
        named = [isinstance(value, str) and is_name_of(value, answers) for value, answers in values]
        if sum(named) * 2 > len(named) > 1:
            other = next((value for (value, _), yes in zip(values, named, strict=True) if not yes), "")
            found[name] = f"{str(other)[:40]!r} names no response, but other cells do"
        lists = [(listed(value), answers) for value, answers in values]
        if lists and all(
            items and all(isinstance(item, str) and is_name_of(item, answers) for item in items)
            for items, answers in lists
        ):
            found[name] = SEVERAL
    return found


def _orders(sample: Sample, names: Sequence[str]) -> Found:
    """Columns whose cells contain an order of the responses."""
    found = {}
    for name in names:
        reasons = [order_in(value, answers) for value, answers in sample.values(name)]
        if name not in FEEDBACK and sum(map(bool, reasons)) * 2 > len(reasons):
            found[name] = next(filter(None, reasons))
    return found


def _votes_of_people(sample: Sample, names: Sequence[str]) -> Found:
    """Columns whose cells could be an annotator's vote, given as the number of a response, and columns of
    objects with one such number per annotator."""
    found = {}
    for name in names:
        words = set(words_of(name))
        places = _all(sample, name, lambda value: is_place(value, sample.count))
        if places and words & set(WINNER_WORDS) and words & OTHER_WORDS <= HARMLESS and "id" not in words:
            found[name] = "it could be the number of a response"
        if not words & PEOPLE_WORDS or words & OTHER_WORDS or "id" in words:
            continue
        if words - PEOPLE_WORDS and places:
            found[name] = "it could be the vote of an annotator"
        values = [_decoded(value) for value, _ in sample.values(name)]
        if values and all(
            isinstance(value, dict)
            and value
            and all(is_place(number, sample.count) for number in value.values())
            for value in values
        ):
            found[name] = SEVERAL
    return found


def _votes_inside(sample: Sample, names: Sequence[str]) -> Found:
    """Columns with an object or list that contains a vote, and keys under which a listed response has an
    object or list that contains a score."""
    found: Found = {}
    for name in (*names, "metadata"):
        counts = bool(COUNT_WORDS & set(words_of(name)))
        for cell, answers in sample.values(name):
            value = _decoded(cell)
            key = _vote_inside(value, answers)
            if key is None and counts and isinstance(value, dict):
                key = next(iter(value), None)
            if key is not None:
                found[name] = f"{key} is inside an object; write one row per vote, with its fields as columns"
                break
    for item in sample.all_items():
        for name, value in item.items():
            if name not in KNOWN_KEYS and isinstance(value, (dict, list)):
                key = _score_inside(value)
                if key is not None:
                    found[name] = f"{key} is inside an object; move it to the response"
    return found


def _vote_inside(value: object, answers: Answers, depth: int = MAX_DEPTH) -> str | None:
    """A key that looks like a vote, at a depth of at most MAX_DEPTH. Turns of a conversation are not
    searched."""
    if not depth:
        return None
    if isinstance(value, list):
        scored = [_score_key(item) for item in value if isinstance(item, dict)]
        if len(scored) == len(value) == len(answers.texts) and all(scored):
            return scored[0]
        inner = (_vote_inside(item, answers, depth - 1) for item in value if isinstance(item, (dict, list)))
        return next((key for key in inner if key is not None), None)
    if not isinstance(value, dict) or {"role", "from"} & value.keys():
        return None
    for key, item in value.items():
        if _is_vote(str(key), item, answers):
            return str(key)
        deeper = _vote_inside(item, answers, depth - 1)
        if deeper is not None:
            return deeper
    return _number_per_response(value, answers)


def _score_inside(value: object, depth: int = MAX_DEPTH) -> str | None:
    """A key that looks like a score, a rank or a vote, inside a value of a listed response and at a depth of
    at most MAX_DEPTH."""
    if not depth:
        return None
    if isinstance(value, list):
        inner = (_score_inside(item, depth - 1) for item in value if isinstance(item, (dict, list)))
        return next((key for key in inner if key is not None), None)
    if not isinstance(value, dict) or {"role", "from"} & value.keys():
        return None
    inner = (_score_inside(item, depth - 1) for item in value.values() if isinstance(item, (dict, list)))
    return _score_key(value) or next((key for key in inner if key is not None), None)


def _score_key(item: Mapping[str, Any]) -> str | None:
    """The object's first key that looks like a score, a rank or a vote."""
    for key, value in item.items():
        words = words_of(str(key))
        if OTHER_WORDS & set(words) or "id" in words or not given(value) or isinstance(value, (dict, list)):
            continue
        score = is_number(value) and (bool(SCORE_WORDS & set(words)) or _suggests_score(words))
        if score or {*RANK_WORDS, *WINNER_WORDS} & set(words):
            return str(key)
    return None


def _number_per_response(value: Mapping[Any, Any], answers: Answers) -> str | None:
    """A key of an object with one number per response, such as `score_a` or the name of a response."""
    keys = [str(key) for key, item in value.items() if is_number(item)]
    for group in groups_of(keys):
        if len(group.columns) == len(answers.texts) and _can_be_scores(group.words):
            return group.columns[0]
    named = {*answers.models, *answers.columns, *answers.ids} - {""}
    return next((key for key in keys if len(keys) > 1 and set(keys) <= named), None)


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


def _unread_ratings(sample: Sample) -> Found:
    """The field `ratings`, if it has a key that names no response."""
    for row, answers in sample.rows:
        value = _decoded(row.get("ratings"))
        if not isinstance(value, dict) or not value:
            continue
        try:
            by_response({"ratings": value}, "ratings", sample.responses(row, answers))
        except RowError as error:
            return {"ratings": str(error)}
    return {}


def _people_who_are_votes(sample: Sample, people: Sequence[str]) -> Found:
    """Columns of annotators, such as `judge`, in which every cell names a response."""
    if any(given(row.get(name)) for row, _ in sample.rows for name in FEEDBACK):
        return {}
    return {
        name: "its values name responses"
        for name in people
        if (values := sample.values(name))
        and all(isinstance(value, str) and is_name_of(value, answers) for value, answers in values)
    }


def _suggests_score(words: Sequence[str]) -> bool:
    said = set(words)
    return not said & OTHER_WORDS and bool(said & (COUNT_WORDS | ASPECT_WORDS))


def _can_be_scores(words: Sequence[str]) -> bool:
    """Whether columns with one value per response can contain scores. `words` are the words that the columns'
    names share: `helpfulness` for `helpfulness_a` and `helpfulness_b`, and no words for `a` and `b`."""
    said = set(words)
    counts = said & COUNTED and said & {*WINNER_WORDS, *COUNT_WORDS}
    return not said & (OTHER_WORDS | MEASURE_WORDS) or bool(counts) or _suggests_score(words)


def _judges(words: Iterable[str]) -> Callable[[object], bool]:
    """A function that returns whether a value can be the judgement of one response."""
    approves = bool(APPROVAL_WORDS & set(words))

    def judges(value: object) -> bool:
        return is_number(value) or is_judgement(value) or (approves and is_flag(value))

    return judges


def _is_score_list(value: object, answers: Answers, judges: Callable[[object], bool]) -> bool:
    items = listed(value)
    return items is not None and len(items) == len(answers.texts) and all(map(judges, items))


def is_place(value: object, count: int) -> bool:
    """Whether the value can be the number of one of `count` responses, counted from 0 or 1."""
    number = whole_of(_number(value))
    return number is not None and 0 <= number <= count


def _number(value: object) -> object:
    """The number in a CSV cell; any other value is returned unchanged."""
    return float(value) if isinstance(value, str) and is_number(value) else value


def _decoded(value: object) -> Any:
    """The object or list that a CSV cell contains as text; any other value is returned unchanged."""
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return parsed_of(value, "the cell")
        except RowError:
            return value
    return value


def _all(sample: Sample, name: str, holds: Callable[[Any], bool]) -> bool:
    """Whether the column has values, and `holds` is true for each of them."""
    values = sample.values(name)
    return bool(values) and all(holds(value) for value, _ in values)


def _unclear(sample: Sample, name: str) -> str:
    """The reason why a column or key that looks like a score is not read."""
    cells = [listed(value) or [value] for value, _ in sample.values(name)]
    if any(isinstance(_decoded(value), dict) for cell in cells for value in cell):
        return OBJECTS
    words = any(isinstance(value, str) and not is_number(value) for cell in cells for value in cell)
    return WHICH if words else DIRECTION
