"""FastChat's battles: two whole conversations and the winner."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from preferences.fields import given, int_of, label_of, metadata_of, one_of, time_of
from preferences.formats.dialogues import quirks_of, read_turns, reply_of, shared_turns, turn_metadata
from preferences.quirks import IDENTICAL_PAIR, TIME_NOT_UNDERSTOOD
from preferences.records import (
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    Tiers,
)
from preferences.text import MAX_MESSAGES

SIDES = ("conversation_a", "conversation_b")
KNOWN_FIELDS = frozenset({*SIDES, "model_a", "model_b", "metadata"})
# The datasets of LMArena spell "both are bad" differently in each release.
BAD = ("tie (bothbad)", "tie (both bad)", "both_bad", "bothbad", "both bad")
TIES: dict[str, Tiers] = dict.fromkeys(("tie", *BAD), ((0, 1),))
WINNERS: dict[str, Tiers] = {"model_a": ((0,), (1,)), "model_b": ((1,), (0,)), **TIES}
JUDGED_FIELDS = KNOWN_FIELDS | {"winner", "judge"}
ID_NAMES = ("id", "question_id")


def recognises(row: Row) -> bool:
    return {*SIDES, "winner"} <= row.keys()


def parse(row: Row) -> Parsed:
    given_winner = row.get("winner")
    if isinstance(given_winner, str) and given_winner not in WINNERS:
        given_winner = given_winner.strip().lower()
    winner = one_of(given_winner, "winner", WINNERS)
    turn = int_of(row.get("turn"), "turn", low=1, high=MAX_MESSAGES)
    read = [read_turns(row.get(name), name) for name in SIDES]
    # An MT-bench judgement contains the whole conversation, but applies only to its `turn`.
    conversations = [turns if turn is None else _until(turns, turn) for turns, _ in read]
    shared = shared_turns(conversations)
    rest = [turns[shared:] for turns in conversations]
    models = [label_of(row.get(name), name) for name in ("model_a", "model_b")]
    responses = tuple(
        ResponseRecord(
            reply_of(turns, name), model, metadata=turn_metadata(fields, shared, shared + len(turns))
        )
        for turns, (_, fields), name, model in zip(rest, read, SIDES, models, strict=True)
    )
    messages = tuple(conversations[0][:shared])
    one, two = responses
    same = (one.text, one.model) == (two.text, two.model)
    time = row["tstamp"] if given(row.get("tstamp")) else row.get("timestamp")
    given_at = time_of(time)
    ranking = RankingRecord(
        tiers=WINNERS[winner],
        annotator=label_of(row.get("judge"), "judge"),
        all_bad=winner in BAD,
        metadata=metadata_of(row, JUDGED_FIELDS),
        given_at=given_at,
        external_id=_id_of(row),
    )
    found = [*quirks_of(messages, rest)]
    if same:
        found.append(IDENTICAL_PAIR)
    if given(time) and given_at is None:
        found.append(TIME_NOT_UNDERSTOOD)
    return [
        Record(
            messages=messages,
            responses=responses,
            rankings=() if same else (ranking,),
            metadata=turn_metadata(read[0][1], 0, shared),
            task_metadata={},
            quirks=tuple(found),
        )
    ]


def _until(turns: Sequence[Message], turn: int) -> list[Message]:
    """The conversation up to and including the answer to user turn number `turn`, counted from 1."""
    users = accumulate(message["role"] == "user" for message in turns)
    return [message for message, number in zip(turns, users, strict=True) if number <= turn]


def _id_of(row: Row) -> str:
    """The battle's ID if the judge is unknown, otherwise empty. Without the ID, two
    identical anonymous votes would be treated as one vote that was imported twice."""
    if given(row.get("judge")):
        return ""
    value: Any = next((row[name] for name in ID_NAMES if isinstance(row.get(name), (str, int))), None)
    return label_of(value, "id")


FORMAT = ImportFormat(
    name="arena-battles",
    title="FastChat arena battles: two conversations and a winner (JSON)",
    reads="The turns that both conversations share are the prompt, and the rest of each "
    "conversation is a response. The winner becomes a ranking by the judge, with the time of "
    "the battle. `tie (bothbad)`, `both_bad` and similar words are read as a tie marked as all bad. "
    "Content can be a list of text parts; a row with an image, audio or a file is rejected. A battle "
    "without a judge is identified by its `id` or `question_id`.",
    loses="The structure of the turns after the first assistant turn, which become part of the response's "
    "text. If a row has a `turn`, the turns after this turn are left out. "
    "Other fields of turns are kept as `turn_fields` in the metadata.",
    example='{"model_a": "x", "model_b": "y", "winner": "tie", "judge": "arena_user_1", "conversation_a":'
    ' [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "conversation_b":'
    ' [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}',
    recognises=recognises,
    parse=parse,
)
