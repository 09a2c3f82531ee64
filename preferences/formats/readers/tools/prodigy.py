"""Prodigy's `choice` interface: `options` with IDs, and the IDs of the chosen options in `accept`.

If `answer` is `reject` or `ignore`, the row contains no vote, and its task stays open.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preferences.fields import (
    check_response_count,
    given,
    kind,
    label_of,
    list_of,
    metadata_of,
    one_of,
    prompt_messages,
    text_of,
    time_of,
)
from preferences.formats.readers.prompts import PROMPT_NAMES, prompt_of
from preferences.quirks import ANSWER_LEFT_OUT
from preferences.records import (
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
)

ANSWERS = ("accept", "reject", "ignore")
OPTION_FIELDS = frozenset({"text", "model", "metadata"})
ANSWER_FIELDS = frozenset({"answer", "_annotator_id", "_timestamp"})
KNOWN_FIELDS = frozenset({"options", "accept", "metadata"}) | ANSWER_FIELDS


def recognises(row: Row) -> bool:
    options = row.get("options")
    return (
        isinstance(row.get("accept"), list)
        and isinstance(options, list)
        and bool(options)
        and all(isinstance(option, dict) and "id" in option for option in options)
    )


def parse(row: Row) -> Parsed:
    options = list_of(row.get("options"), "options")
    check_response_count(len(options))
    responses = tuple(_response(option, f"options.{index}") for index, option in enumerate(options))
    messages, used = _prompt(row)
    answer = one_of(row.get("answer", ANSWERS[0]), "answer", ANSWERS)
    tiers = _tiers(row, [str(option["id"]) for option in options]) if answer == ANSWERS[0] else None
    if tiers is None:
        rest = metadata_of(row, (KNOWN_FIELDS - ANSWER_FIELDS) | used)
        return [Record(messages, responses, metadata=rest, quirks=(ANSWER_LEFT_OUT,))]
    rest = metadata_of(row, KNOWN_FIELDS | used)
    ranking = RankingRecord(
        tiers=tiers,
        annotator=label_of(row.get("_annotator_id"), "_annotator_id"),
        metadata=rest,
        given_at=time_of(row.get("_timestamp")),
    )
    return [Record(messages, responses, (ranking,), task_metadata={})]


def _response(option: Any, where: str) -> ResponseRecord:
    if not isinstance(option, Mapping):
        raise RowError(f"{where} must be an object with id and text, not {kind(option)}")
    if not given(option.get("id")):
        raise RowError(f"{where} has no id, so accept can't refer to it")
    return ResponseRecord(
        text_of(option.get("text"), f"{where}.text"),
        label_of(option.get("model"), f"{where}.model"),
        metadata=metadata_of(option, OPTION_FIELDS),
    )


def _prompt(row: Row) -> tuple[tuple[Message, ...], frozenset[str]]:
    if any(given(row.get(name)) for name in PROMPT_NAMES):
        prompt = prompt_of(row)
        return prompt.messages, prompt.fields
    return prompt_messages(row.get("text"), "text"), frozenset({"text"})


def _tiers(row: Row, ids: list[str]) -> Tiers | None:
    """Tiers that rank the accepted option above the others. None if no option is accepted."""
    accepted = [str(item) for item in list_of(row.get("accept"), "accept")]
    if len(set(ids)) < len(ids):
        raise RowError(f"two options have the same id; the ids are {', '.join(ids)}")
    if unknown := [item for item in accepted if item not in ids]:
        raise RowError(f"the field accept lists {unknown[0]!r}; the options are {', '.join(ids)}")
    if len(accepted) > 1:
        raise RowError(f"the field accept lists {len(accepted)} options, but not their order")
    if not accepted:
        return None
    best = ids.index(accepted[0])
    others = tuple(index for index in range(len(ids)) if index != best)
    # If there are several other options, they have no order among themselves and stay unranked.
    return ((best,), others) if len(ids) == 2 else ((best,),)


FORMAT = ImportFormat(
    name="prodigy",
    title="Prodigy choices: options with IDs, and the accepted option (JSON Lines)",
    reads="Each row becomes a task with the `options` as responses. The option in `accept` is ranked first by"
    " the annotator in `_annotator_id`, with the time in `_timestamp`. If there are several other options,"
    " they stay unranked. The prompt is `prompt` or another known field, otherwise `text`. A row that accepts"
    " several options is rejected.",
    loses="The choice in an example whose `answer` is `reject` or `ignore`. The task of the example stays"
    " open. The answer, its annotator and its time are kept as metadata.",
    example='{"text": "Q", "options": [{"id": "a", "text": "x"}, {"id": "b", "text": "y"}], "accept": ["b"],'
    ' "answer": "accept", "_annotator_id": "ann"}',
    recognises=recognises,
    parse=parse,
)
