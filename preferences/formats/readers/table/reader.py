"""A table of responses and votes, in which the columns can have any names.

`mapping` infers the columns from the first rows, and `votes` describes how a vote is read. Columns with a
number per response become ratings; other columns with a value per response become metadata of the responses.
The annotator, a comment, an ID and a time belong to the ranking, and all other fields become its metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from preferences.fields import (
    annotator_of,
    check_response_count,
    given,
    label_of,
    metadata_of,
    text_of,
    time_of,
)
from preferences.formats.dialogues import quirks_of
from preferences.formats.readers.columns.names import Group, key_of
from preferences.formats.readers.columns.vocabulary import (
    ANNOTATOR_NAMES,
    COMMENT_NAMES,
    ID_NAMES,
    TIME_NAMES,
)
from preferences.formats.readers.table.cells import (
    TEXT_KEYS,
    Replies,
    conversation_and_texts,
    listed,
    prompt_fields,
    replies_of,
)
from preferences.formats.readers.table.mapping import ColumnMapping, mapping_of
from preferences.formats.readers.table.numbers_in_cells import is_number
from preferences.formats.readers.table.votes import (
    Flagged,
    Numbers,
    OneHot,
    Signed,
    Verdict,
    Winner,
    flagged_of,
    numbers_of,
    one_hot_of,
    signed_of,
    winner_of,
)
from preferences.formats.training_fields import training_fields
from preferences.quirks import NO_ORDER, OTHER_VOTES, TIME_NOT_UNDERSTOOD, VOTE_MISSING, Quirk
from preferences.records import (
    FormatError,
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
)

NO_MAPPING = (
    "a table needs a prompt, at least two responses and a column that looks like a vote; tasks without a vote"
    " are read as `rankloop`"
)


@dataclass(frozen=True, slots=True)
class Beside:
    """The fields of a row that describe its ranking. `rest` contains all other fields. If `time_left` is
    true, the time could not be parsed and is in `rest`."""

    annotator: str
    comment: str
    external_id: str
    given_at: datetime | None
    time_left: bool
    rest: dict[str, Any]


def parser_of(rows: Sequence[Row]) -> Callable[[Row], Parsed]:
    """Return the parser for a file, given its first rows. Raises FormatError if the vote can't be read with
    certainty."""
    mapping = mapping_of(rows)
    if mapping is None:
        raise FormatError(f"The file can't be read as `table`: {NO_MAPPING}.")
    return lambda row: parse_with(row, mapping)


def parse(row: Row) -> Parsed:
    """Parse a single row, with a mapping that is inferred from this row."""
    try:
        return parser_of([row])(row)
    except FormatError as error:
        raise RowError(str(error)) from None


def parse_with(row: Row, mapping: ColumnMapping) -> Parsed:
    replies = replies_of(row, mapping.responses)
    check_response_count(len(replies.items))
    messages, texts = conversation_and_texts(row, mapping.prompt, replies)
    if mapping.system and given(row.get(mapping.system)):
        messages = ({"role": "system", "content": text_of(row[mapping.system], mapping.system)}, *messages)
    models = [label_of(row.get(column), column) for column in mapping.models[: len(texts)]]
    models = models or [_model_of(item, number) for number, item in enumerate(replies.items, start=1)]
    verdict = _verdict(row, mapping, replies, models)
    ratings, described = _described(row, mapping.described, len(texts))
    beside = _beside(row, mapping.annotator, _used(mapping) | prompt_fields(row, mapping.prompt))
    responses = tuple(
        ResponseRecord(text, model, metadata={**_item_metadata(item), **extra})
        for text, model, item, extra in zip(texts, models, replies.items, described, strict=True)
    )
    quirks = [*quirks_of(messages, [[{"role": "assistant", "content": text}] for text in texts])]
    ranking = RankingRecord(
        tiers=(),
        annotator=beside.annotator,
        ratings=ratings,
        comment=beside.comment,
        external_id=beside.external_id,
        given_at=beside.given_at,
        training=training_fields(row),
    )
    if verdict is None:
        return [_without_vote(messages, responses, ranking, beside, quirks, ignored=mapping.vote is None)]
    if mapping.others:
        quirks.append(OTHER_VOTES)
    if beside.time_left:
        quirks.append(TIME_NOT_UNDERSTOOD)
    ranking = replace(
        ranking,
        tiers=verdict.tiers,
        strength=verdict.strength,
        all_bad=verdict.all_bad,
        metadata=beside.rest,
    )
    return [Record(messages, responses, (ranking,), task_metadata={}, quirks=tuple(quirks))]


def _without_vote(
    messages: tuple[Message, ...],
    responses: tuple[ResponseRecord, ...],
    ranking: RankingRecord,
    beside: Beside,
    quirks: list[Quirk],
    *,
    ignored: bool,
) -> Record:
    """A row without a vote. If the user chose to ignore the votes, the numbers per response are kept as
    metadata, because one of them can be the ignored vote."""
    if ignored:
        responses = tuple(
            replace(response, metadata={**response.metadata, **ranking.ratings.get(index, {})})
            for index, response in enumerate(responses)
        )
    else:
        quirks = [*quirks, VOTE_MISSING]
    if ignored or not ranking.says_something:
        metadata = {**beside.rest, **_kept(beside)}
        return Record(messages, responses, metadata=metadata, quirks=tuple(quirks))
    return Record(messages, responses, (ranking,), metadata=beside.rest, quirks=(*quirks, NO_ORDER))


def _verdict(row: Row, mapping: ColumnMapping, replies: Replies, models: Sequence[str]) -> Verdict | None:
    vote = mapping.vote
    if vote is None:
        return None
    if isinstance(vote, OneHot):
        return one_hot_of(row, vote)
    if isinstance(vote, Signed):
        return signed_of(row.get(vote.column), vote)
    if isinstance(vote, Numbers):
        numbers, name = _numbers(row, vote, replies.items)
        return numbers_of(numbers, name, higher_wins=vote.higher_wins, ranks=vote.ranks)
    if isinstance(vote, Flagged):
        return flagged_of(replies.items, vote)
    try:
        return winner_of(row.get(vote.column), mapping.answers(vote, replies, models), vote.first)
    except RowError as error:
        raise RowError(f"{vote.column}: {error}") from None


def _numbers(row: Row, vote: Numbers, items: Sequence[Any]) -> tuple[list[Any], str]:
    """The rank or score of each response, and the names of the fields that contain them."""
    if vote.columns:
        return [row.get(column) for column in vote.columns], ", ".join(vote.columns)
    if vote.key:
        return [item.get(vote.key) if isinstance(item, dict) else None for item in items], vote.key
    numbers = listed(row.get(vote.list_column)) or []
    if numbers and len(numbers) != len(items):
        raise RowError(f"{vote.list_column} has {len(numbers)} numbers for {len(items)} responses")
    return numbers, vote.list_column


def _described(row: Row, groups: Sequence[Group], count: int) -> tuple[dict[int, Any], list[dict[str, Any]]]:
    """The responses' ratings (numbers, and true or false as 1 or 0), and their other metadata."""
    ratings: dict[int, dict[str, Any]] = {}
    metadata: list[dict[str, Any]] = [{} for _ in range(count)]
    for group in groups:
        name = "_".join(word for word in group.words if word not in {"is", "response", "answer"}) or "value"
        for index, column in enumerate(group.columns[:count]):
            value = row.get(column)
            if isinstance(value, bool):
                ratings.setdefault(index, {})[name] = int(value)
            elif value is not None and is_number(value):
                ratings.setdefault(index, {})[name] = float(value) if "." in str(value) else int(value)
            elif given(value):
                metadata[index].update(metadata_of({name: value}, frozenset()))
    return ratings, metadata


def _used(mapping: ColumnMapping) -> frozenset[str]:
    """The columns that are stored elsewhere, and therefore not in the ranking's metadata. The prompt's
    columns are not included."""
    vote = mapping.vote
    voted: tuple[str, ...] = ()
    if isinstance(vote, (Winner, Signed)):
        voted = (vote.column,)
    elif isinstance(vote, OneHot):
        voted = (*vote.columns, vote.tie, vote.both_bad)
    elif isinstance(vote, Numbers):
        voted = (*vote.columns, vote.list_column)
    described = [name for group in mapping.described for name in group.columns]
    return frozenset({mapping.system, *mapping.responses, *mapping.models, *voted, *described})


def _beside(row: Row, annotator: str, used: frozenset[str]) -> Beside:
    annotators, comments, identifiers, times = (
        [name for name in names if name not in used and given(row[name])]
        for names in _columns_beside(tuple(row))
    )
    annotator = annotator or (annotators[0] if annotators else "")
    comment = next((name for name in comments if isinstance(row[name], str)), "")
    identifier = identifiers[0] if identifiers else ""
    time = times[0] if times else ""
    given_at = time_of(row[time]) if time else None
    known = used | {name for name in (annotator, comment, identifier, time if given_at else "") if name}
    return Beside(
        annotator=annotator_of(row, annotator) if annotator else "",
        comment=text_of(row[comment], comment) if comment else "",
        external_id=label_of(row[identifier], identifier) if identifier else "",
        given_at=given_at,
        time_left=bool(time) and given_at is None,
        rest=metadata_of(row, known | {"metadata"})
        | metadata_of({"metadata": row.get("metadata")}, frozenset({"metadata"})),
    )


def _kept(beside: Beside) -> dict[str, Any]:
    """The fields that describe a ranking, as metadata for a row that has no ranking."""
    kept = {
        "annotator": beside.annotator,
        "comment": beside.comment,
        "id": beside.external_id,
        "given_at": beside.given_at.isoformat() if beside.given_at else "",
    }
    return {name: value for name, value in kept.items() if value}


@lru_cache(maxsize=64)
def _columns_beside(names: tuple[str, ...]) -> tuple[list[str], ...]:
    """Four lists of columns: those that can be the annotator, the comment, the ID and the time. In each list,
    the most likely column comes first."""
    keys = {name: key_of(name) for name in names}
    # Only annotator columns are also recognised with a prefix, as in Toloka's `ASSIGNMENT:worker_id`. Other
    # columns with a prefix, such as `Input.id`, can describe the task.
    people = {name: key_of(re.split(r"[.:]", name)[-1]) for name in names}
    return tuple(
        sorted((name for name in names if of[name] in known), key=lambda name: known.index(of[name]))
        for known, of in (
            (ANNOTATOR_NAMES, people),
            (COMMENT_NAMES, keys),
            (ID_NAMES, keys),
            (TIME_NAMES, keys),
        )
    )


def _model_of(item: object, number: int) -> str:
    return label_of(item.get("model"), f"response {number}.model") if isinstance(item, dict) else ""


def _item_metadata(item: object) -> dict[str, Any]:
    if not isinstance(item, dict):
        return {}
    return metadata_of(item, frozenset({"model", "metadata", *TEXT_KEYS[:1], *_text_key(item)}))


def _text_key(item: dict[str, Any]) -> list[str]:
    return [key for key in TEXT_KEYS if key in item][:1]


FORMAT = ImportFormat(
    name="table",
    title="A table of responses with a vote in columns of any name (JSON Lines, CSV, Parquet)",
    reads="The prompt, the responses (`response_a`, `answer 1`, … or a list) and the vote. The vote is a"
    " column that names the winner (`A`, `model_b`, `left`, a number, the response's model, ID or text,"
    " `tie`, `both_bad`), a column of 0s and 1s for each outcome, a listed response that is `chosen` or"
    " `selected`, or a rank for each response (1 is best). Column names and votes can be"
    " in English or German. The annotator, a comment, a time and an ID are kept with the ranking; other"
    " numbers per response become its ratings. The meanings of the columns are inferred from the first 50"
    " rows. If the vote can't be read with certainty, the file is refused and the error lists the columns."
    " Examples of such votes are a column that names the worse response, a number for each response if the"
    " file does not state whether higher is better, a number that could be a truth value (in a column such as"
    " `a_wins`), and a name that two responses share.",
    loses="Nothing. Other fields are kept as metadata of the ranking. A row with a comment or ratings, but no"
    " vote, becomes a ranking without an order, and its task is open for ranking.",
    example='{"question": "Q", "answer_a": "x", "answer_b": "y", "winner": "B", "annotator": "ann"}',
    recognises=lambda row: False,
    parse=parse,
    parser_of=parser_of,
)
