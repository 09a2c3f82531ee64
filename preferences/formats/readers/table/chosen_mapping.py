"""A mapping that the user chooses: `prompt=question`, `responses=x,y`, `vote=pick`, …

Columns that are not chosen are inferred, so only columns that can't be inferred must be chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from preferences.formats.readers.columns.names import groups_of
from preferences.formats.readers.prompts import SYSTEM_NAMES
from preferences.formats.readers.table.mapping import (
    ColumnMapping,
    described_by,
    mapping_with,
    model_columns,
    prompt_column,
    response_columns,
)
from preferences.formats.readers.table.votes import (
    Flagged,
    Numbers,
    OneHot,
    Signed,
    VoteColumns,
    Winner,
    names_the_loser,
)
from preferences.records import FormatError, Row

KEYS = ("prompt", "system", "responses", "vote", "direction", "annotator")
NO_VOTE = "none"
DIRECTIONS = {
    "from-0": "the number 0 means the first response",
    "from-1": "the number 1 means the first response",
    "higher": "a higher number is better",
    "lower": "a lower number is better",
    "negative-first": "a negative number means that the first response is better",
    "positive-first": "a positive number means that the first response is better",
}


def chosen_mapping(choice: Mapping[str, str], rows: Sequence[Row]) -> ColumnMapping:
    """The mapping in `choice`, completed by inference from the first rows of the file.

    `vote` names one column, one column per response or a key of listed responses; `none` ignores votes.
    `direction` is one of DIRECTIONS. Raises FormatError if a key, a direction or a column does not exist, or
    if the prompt, the responses or the vote is neither chosen nor found.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    _check(choice, names, rows)
    prompt = choice.get("prompt") or prompt_column(rows, names)
    if not prompt:
        raise FormatError(
            "No prompt column was found. Choose a column with prompt=COLUMN; the columns are "
            f"{', '.join(names)}."
        )
    columns = _split(choice.get("responses", ""))
    numbers = next((group.numbers for group in groups_of(columns) if group.columns == columns), ())
    if not columns:
        found = response_columns(rows, [name for name in names if name != prompt])
        if found is None:
            raise FormatError(
                "No response columns were found. Choose columns with responses=X,Y; the columns are "
                f"{', '.join(names)}."
            )
        columns, numbers = found
    vote = choice.get("vote", "")
    if vote == NO_VOTE or vote or choice.get("direction"):
        rest = [name for name in names if name not in {prompt, *columns, choice.get("system", "")}]
        models = model_columns(rest, len(columns))
        mapping = ColumnMapping(prompt, columns, None, models=models, numbers=numbers)
        mapping = replace(mapping, vote=_vote(choice, mapping, names))
        rest = [name for name in rest if name not in models]
        mapping = replace(mapping, described=described_by(rest, len(columns), mapping.vote))
    else:
        inferred = mapping_with(rows, prompt, columns, numbers)
        if inferred is None:
            raise FormatError(
                "No column looks like a vote. Choose a column with vote=COLUMN, or import without votes with "
                f"vote=none; the columns are {', '.join(names)}."
            )
        mapping = inferred
    system = choice.get("system") or next((name for name in SYSTEM_NAMES if name in names), "")
    return replace(mapping, system=system, annotator=choice.get("annotator", ""))


def choice_of(mapping: ColumnMapping) -> dict[str, str]:
    """The choice that produces this mapping: the inverse of :func:`chosen_mapping`."""
    vote = mapping.vote
    named, direction = NO_VOTE, ""
    if isinstance(vote, Winner):
        named, direction = vote.column, "" if vote.first is None else f"from-{vote.first}"
    elif isinstance(vote, Signed):
        named = vote.column
        direction = "negative-first" if vote.negative_is_first else "positive-first"
    elif isinstance(vote, Numbers):
        named = ",".join(vote.columns) or vote.list_column or vote.key
        direction = "higher" if vote.higher_wins else "lower"
    elif isinstance(vote, Flagged):
        named = vote.key
    elif isinstance(vote, OneHot):
        named = ""  # inferred again from the columns of the responses
    choice = {
        "prompt": mapping.prompt,
        "system": mapping.system,
        "responses": ",".join(mapping.responses),
        "vote": named,
        "direction": direction,
        "annotator": mapping.annotator,
    }
    return {key: value for key, value in choice.items() if value}


def _vote(choice: Mapping[str, str], mapping: ColumnMapping, names: Sequence[str]) -> VoteColumns | None:
    columns, direction = _split(choice.get("vote", "")), choice.get("direction", "")
    if columns == (NO_VOTE,):
        return None
    if not columns:
        raise FormatError("A direction requires a vote column; choose the column with vote=COLUMN.")
    if direction in {"higher", "lower"}:
        if len(columns) > 1 and len(columns) != len(mapping.responses):
            raise FormatError(
                f"vote has {len(columns)} columns, but there are {len(mapping.responses)} responses."
            )
        higher = direction == "higher"
        if len(columns) > 1:
            return Numbers(columns=columns, higher_wins=higher)
        if columns[0] in names:
            return Numbers(list_column=columns[0], higher_wins=higher)
        return Numbers(key=columns[0], higher_wins=higher)
    if len(columns) > 1:
        raise FormatError(
            "vote has several columns of numbers. Choose whether a higher or a lower number is better"
            " (direction=higher or direction=lower)."
        )
    if direction in {"negative-first", "positive-first"}:
        return Signed(columns[0], negative_is_first=direction == "negative-first")
    if names_the_loser(columns[0]):
        raise FormatError(
            f"vote={columns[0]}: this column identifies the worse response. Choose a column that identifies"
            " the better response."
        )
    if columns[0] not in names:
        return Flagged(columns[0])
    return Winner(columns[0], {"from-0": 0, "from-1": 1}.get(direction))


def _check(choice: Mapping[str, str], names: Sequence[str], rows: Sequence[Row]) -> None:
    for key in choice:
        if key not in KEYS:
            raise FormatError(f"The mapping key {key!r} is unknown; valid keys are {', '.join(KEYS)}.")
    direction = choice.get("direction")
    if direction and direction not in DIRECTIONS:
        meanings = "; ".join(f"{name} ({meaning})" for name, meaning in DIRECTIONS.items())
        raise FormatError(f"There is no direction {direction!r}. The directions are: {meanings}.")
    items = {key for row in rows for value in row.values() if isinstance(value, list) for key in _keys(value)}
    for key in ("prompt", "system", "responses", "vote", "annotator"):
        for column in _split(choice.get(key, "")):
            known = [*names, NO_VOTE, *items] if key == "vote" else names
            if column not in known:
                raise FormatError(
                    f"{key}={column}: the file has no such column; its columns are {', '.join(names)}."
                )


def _keys(items: list[object]) -> list[str]:
    return [key for item in items[:1] if isinstance(item, dict) for key in item]


def _split(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())
