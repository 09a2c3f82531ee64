"""Determine which columns of a table contain the prompt, the responses, the vote and its annotator.

:func:`mapping_of` infers a mapping from the first rows of a file. Nothing is guessed: if a column looks like
a vote but can't be read with certainty, the file is refused, and the message names the column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from preferences.fields import given
from preferences.formats.readers.columns.names import Group, groups_of, key_of, places_of, words_of
from preferences.formats.readers.columns.vocabulary import (
    ANNOTATOR_NAMES,
    DESCRIPTION_WORDS,
    ID_NAMES,
    LIST_NAMES,
    MODEL_WORDS,
    MORE_PROMPT_NAMES,
    NOT_VOTES,
    OUTCOMES,
    RANK_WORDS,
    RESPONSE_WORDS,
    SCORE_WORDS,
    TRUTH_WORDS,
    VERDICT_WORDS,
    WINNER_WORDS,
)
from preferences.formats.readers.prompts import PROMPT_NAMES, SYSTEM_NAMES
from preferences.formats.readers.table.cells import Replies, ids_of, listed
from preferences.formats.readers.table.left_over import left_over_votes, loser_columns
from preferences.formats.readers.table.numbers_in_cells import is_number, named_numbers
from preferences.formats.readers.table.unread import (
    Sample,
    flag_key,
    groups_for,
    is_flag,
    refused,
)
from preferences.formats.readers.table.votes import (
    Answers,
    Flagged,
    Numbers,
    OneHot,
    VoteColumns,
    Winner,
    answers_for,
    is_index,
    is_name_of,
    names_the_loser,
    one_hot_columns,
    vote_names,
    winner_of,
    winner_priority,
)
from preferences.records import FormatError, Row, RowError


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """`responses` names one column per response, or one column that contains a list of all responses. Without
    a `vote`, the rows become open tasks.

    `models` has a column per response, or is empty. `described` contains groups of columns with one further
    value per response, such as a score. `others` are further columns that look like votes; their values are
    kept as metadata.
    """

    prompt: str
    responses: tuple[str, ...]
    vote: VoteColumns | None
    system: str = ""
    annotator: str = ""
    models: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    described: tuple[Group, ...] = ()
    others: tuple[str, ...] = ()

    def answers(self, vote: Winner, replies: Replies, models: Sequence[str]) -> Answers:
        columns = self.responses if len(self.responses) > 1 else ()
        answers = Answers(replies.texts, tuple(models), columns, self.numbers, ids_of(replies.items))
        return answers_for(vote.column, answers)


def mapping_of(rows: Sequence[Row]) -> ColumnMapping | None:
    """Infer the mapping from the first rows of a file. None if no column looks like a vote, or if the rows
    have no prompt or no responses. Raises FormatError if a column looks like a vote but can't be read."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    prompt = prompt_column(rows, names)
    if prompt is None:
        return None
    others = [name for name in names if name != prompt]
    responses = response_columns(rows, others) or _columns_named_by_votes(rows, others)
    return None if responses is None else mapping_with(rows, prompt, *responses)


def mapping_with(
    rows: Sequence[Row], prompt: str, columns: tuple[str, ...], numbers: tuple[int, ...] = ()
) -> ColumnMapping | None:
    """Like :func:`mapping_of`, but the columns of the prompt and the responses are already known."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    # In Rankloop's own format, the fields in NOT_VOTES contain no lists. In other files, a list in one of
    # these fields can contain a score per response.
    described = {name for name in NOT_VOTES if not any(listed(row.get(name)) for row in rows)}
    rest = [name for name in names if name not in {prompt, *columns, *SYSTEM_NAMES, *described}]
    models = model_columns(rest, len(columns))
    people = [name for name in rest if key_of(name) in ANNOTATOR_NAMES]
    rest = [name for name in rest if name not in {*models, *people} and key_of(name) not in ID_NAMES]
    sample = Sample(rows, columns, models, numbers)
    vote, others = _vote(sample, rest)
    if vote is None:
        left_over = left_over_votes(sample, rest, people) if sample.rows else {}
        if left_over:
            raise refused(left_over)
        return None
    return ColumnMapping(
        prompt=prompt,
        responses=columns,
        vote=vote,
        system=next((name for name in SYSTEM_NAMES if name in names), ""),
        models=models,
        numbers=numbers,
        described=described_by(rest, len(columns), vote),
        others=others,
    )


def model_columns(names: Sequence[str], count: int) -> tuple[str, ...]:
    """The columns with the model of each response. Empty if there are none."""
    return next((group.columns for group in groups_for(names, count) if _is_model_group(group)), ())


def described_by(names: Sequence[str], count: int, vote: VoteColumns | None) -> tuple[Group, ...]:
    """The groups of columns with one further value per response, without the columns of the vote."""
    used = set(vote.columns) if isinstance(vote, (OneHot, Numbers)) else set()
    return tuple(group for group in groups_for(names, count) if not used & set(group.columns))


def _vote(sample: Sample, names: list[str]) -> tuple[VoteColumns | None, tuple[str, ...]]:
    """The vote, and the other columns that look like one. Raises FormatError if columns look like votes, but
    none of them or several of them can be read as the vote."""
    if not sample.rows:
        return None, ()
    count = len(sample.rows[0][1].texts)
    one_hot = one_hot_columns(names, count)
    if one_hot is not None and all(
        is_flag(value) for name in one_hot.columns for value, _ in sample.values(name)
    ):
        return one_hot, ()
    flag = flag_key(sample)
    candidates = [name for name in names if sample.values(name) and _looks_like_winner(sample, name)]
    readable: dict[str, Winner] = {}
    reasons: dict[str, str] = {}
    for name in candidates:
        try:
            readable[name] = _winner(sample, name)
        except RowError as error:
            reasons[name] = str(error)
    if flag and not readable and not reasons:
        return Flagged(flag), ()
    if flag:
        raise refused(dict.fromkeys(candidates, "the listed responses already contain a vote"))
    best = sorted(readable, key=winner_priority)
    top = [name for name in best if winner_priority(name) == winner_priority(best[0])]
    if len(top) == 1 and not any(_competes(name, top[0], names) for name in reasons):
        # If there are only two responses, the vote for the better response also determines the worse
        # response.
        losers = loser_columns(sample, names) if sample.count > 2 else ()
        return readable[top[0]], tuple(name for name in (*candidates, *losers) if name != top[0])
    if top:
        raise refused(
            {name: reasons.get(name, "several columns can be read as the vote") for name in candidates}
        )
    if reasons:
        raise refused(reasons)
    return _ranks(sample, names), ()


def _competes(unread: str, chosen: str, names: Sequence[str]) -> bool:
    """Whether the column `unread`, which can't be read, could be the vote instead of the column `chosen`.
    This is the case if the name of `unread` suggests a vote more clearly, or if both columns belong to one
    group, such as `annotator_1` and `annotator_2`."""
    return winner_priority(unread) < winner_priority(chosen) or any(
        {unread, chosen} <= set(group.columns) for group in groups_of(names)
    )


def _looks_like_winner(sample: Sample, name: str) -> bool:
    """Return True if the column's name suggests a winner, or if every cell names a response, names a tie, or
    states that a response won or lost."""
    if winner_priority(name) < len(WINNER_WORDS):
        return all(
            not isinstance(value, (dict, list)) or _is_id(value, answers)
            for value, answers in sample.values(name)
        )
    return "id" not in words_of(name) and all(
        isinstance(value, str) and (is_name_of(value, answers) or value.strip().lower() in OUTCOMES)
        for value, answers in sample.values(name)
    )


def _winner(sample: Sample, name: str) -> Winner:
    """The vote in this column. Raises RowError with the first reason why the column can't be read."""
    if names_the_loser(name):
        raise RowError("it names the worse response, not the better one")
    if (
        winner_priority(name) == len(WINNER_WORDS)
        and not {*VERDICT_WORDS, *RANK_WORDS} & set(words_of(name))
        and all(len("".join(words_of(str(value)))) == 1 for value, _ in sample.values(name))
    ):
        raise RowError("its letters could name responses, but the column's name does not suggest a vote")
    values = [(value, answers_for(name, answers)) for value, answers in sample.values(name)]
    whole = {
        int(float(value))
        for value, answers in values
        if is_number(value) and float(value).is_integer() and str(value) not in answers.ids
    }
    if whole and any(_is_about_one(name, answers) for _, answers in values):
        raise RowError("its numbers could mean that a response won or lost, or could identify the winner")
    winner = Winner(name, None if sample.numbers or not whole else _first_number(sample, name, whole))
    for value, answers in values:
        winner_of(value, answers, winner.first)
    return winner


def _is_about_one(name: str, answers: Answers) -> bool:
    """Whether the column's name refers to one response, as in `a_is_better` and `gpt_wins`, or indicates that
    the column's cells are true or false, as in `is_preferred`."""
    words = words_of(name)
    named = [set(words_of(one)) for one in (*answers.columns, *answers.models)]
    return (
        not TRUTH_WORDS.isdisjoint(words)
        or any(True for word in words for _ in places_of(word))
        or any(one and one <= set(words) for one in named)
    )


def _first_number(sample: Sample, name: str, numbers: set[int]) -> int:
    """The number of the first response (0 or 1), inferred from the column's name and numbers. Raises RowError
    if both are possible."""
    count = max(len(answers.texts) for _, answers in sample.rows)
    if is_index(name) or (min(numbers) == 0 and 0 < max(numbers) < count):
        return 0
    if min(numbers) >= 1 and count in numbers:
        return 1
    shown = ", ".join(map(str, sorted(numbers)[:5]))
    raise RowError(f"its numbers ({shown}) don't show whether the numbering starts at 0 or 1")


def _ranks(sample: Sample, names: list[str]) -> Numbers | None:
    for group in groups_for(names, len(sample.rows[0][1].texts)):
        if RANK_WORDS & set(group.words):
            return Numbers(columns=group.columns, ranks=True)
    numbered = numbered_columns([*sample.columns, *names])
    ranks = tuple(numbered.get(column, "") for column in sample.columns)
    if all(RANK_WORDS & set(words_of(name)) for name in ranks):
        return Numbers(columns=ranks, ranks=True)
    keys = [named_numbers(item)[0] for items in sample.items for item in items]
    if keys and keys[0] and all(keys[0][0] in found for found in keys if found):
        return Numbers(key=keys[0][0], ranks=True)
    for name in names:
        if RANK_WORDS & set(words_of(name)) and all(
            (items := listed(value)) and all(map(is_number, items)) for value, _ in sample.values(name)
        ):
            return Numbers(list_column=name, ranks=True)
    return None


def prompt_column(rows: Sequence[Row], names: list[str]) -> str | None:
    """The prompt column. If the names of the response columns contain further words, as in `orig_response_a`,
    a prompt column with the same words (`orig_instruction`) is preferred."""
    filled = [name for name in names if any(given(row.get(name)) for row in rows)]
    for further in (*_further_words(names), frozenset[str]()):
        spelt: dict[str, str] = {}
        for name in filled:
            words = words_of(name)
            if further <= set(words):
                spelt.setdefault("_".join(word for word in words if word not in further), name)
        found = next((name for name in (*PROMPT_NAMES, *MORE_PROMPT_NAMES) if name in spelt), None)
        if found is not None:
            return spelt[found]
    return None


def _further_words(names: list[str]) -> list[frozenset[str]]:
    """The further words in the names of each group of response columns: `orig` for `orig_response_a`."""
    found = [
        frozenset(group.words) - RESPONSE_WORDS
        for group in groups_of(names)
        if RESPONSE_WORDS & set(group.words)
        and not (DESCRIPTION_WORDS | set(WINNER_WORDS)) & set(group.words)
    ]
    return [words for words in found if words]


def response_columns(rows: Sequence[Row], names: list[str]) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """The columns of the responses and their numbers. Raises FormatError if several groups are possible."""
    for name in LIST_NAMES:
        if name in names and all(listed(row[name]) for row in rows if given(row.get(name))):
            return (name,), ()
    groups = [
        group
        for group in groups_of(names)
        if not DESCRIPTION_WORDS & set(group.words)
        and not set(WINNER_WORDS) & set(group.words)
        and all(isinstance(row.get(name) or "", (str, list)) for row in rows for name in group.columns)
    ]
    likely = [group for group in groups if RESPONSE_WORDS & set(group.words)] or groups
    if not likely:
        return None
    if len(likely) > 1:
        named = " or ".join(", ".join(group.columns) for group in likely)
        raise FormatError(
            f"Several groups of columns can contain the responses: {named}. Rename the columns "
            "that contain the responses to response_1, response_2 and so on."
        )
    return likely[0].columns, likely[0].numbers


def _columns_named_by_votes(
    rows: Sequence[Row], names: list[str]
) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """The response columns, if they are named after models. The names must also be the values of a winner
    column, or be part of the names of rank or score columns (`gpt` and `score_gpt`). Raises FormatError if a
    column looks like a vote, but the responses can't be found."""
    columns = tuple(name for name in names if name in numbered_columns(names))
    if len(columns) > 1:
        return columns, ()
    texts = {name for row in rows for name, value in row.items() if isinstance(value, (str, list)) and value}
    texts &= set(names)
    winners = [
        name
        for name in names
        if (values := {str(row[name]) for row in rows if given(row.get(name))})
        and (winner_priority(name) < len(WINNER_WORDS) or values <= texts - {name})
    ]
    for winner in winners:
        named = {str(row.get(winner)) for row in rows}
        columns = tuple(name for name in names if name in named)
        if len(columns) > 1:
            return columns, ()
    # Groups of columns such as `score_1` and `score_2` look like votes. A single score does not, because it
    # can describe the prompt.
    votes = [*winners, *(name for group in groups_of(vote_names(tuple(names))) for name in group.columns)]
    if votes and len(texts - set(votes)) > 1:
        raise refused(dict.fromkeys(votes, "no response columns were found"))
    return None


def numbered_columns(names: Sequence[str]) -> dict[str, str]:
    """{response column: column with its rank or score} for columns such as `gpt` and `score_gpt`."""
    plain = {words_of(name): name for name in names}
    found = {}
    for name in vote_names(tuple(names)):
        words = words_of(name)
        rest = tuple(word for word in words if word not in {*RANK_WORDS, *SCORE_WORDS})
        if rest and rest != words and rest in plain:
            found[plain[rest]] = name
    return found


def _is_model_group(group: Group) -> bool:
    return any(word in group.words for word in MODEL_WORDS) and not {*WINNER_WORDS, *SCORE_WORDS} & set(
        group.words
    )


def _is_id(value: object, answers: Answers) -> bool:
    """Whether the value is a list that names responses by their IDs."""
    return isinstance(value, list) and bool(answers.ids) and all(str(item) in answers.ids for item in value)
