"""FastChat's battles: two whole conversations and the winner."""

from __future__ import annotations

from preferences.fields import given, int_of, label_of, metadata_of, one_of, time_of
from preferences.formats.dialogues import quirks_of, reply_of, shared_turns, turns_of
from preferences.quirks import IDENTICAL_PAIR, TIME_NOT_UNDERSTOOD
from preferences.records import ImportFormat, Parsed, RankingRecord, Record, ResponseRecord, Row, Tiers
from preferences.text import MAX_MESSAGES

KNOWN_FIELDS = frozenset({"conversation_a", "conversation_b", "model_a", "model_b", "metadata"})
WINNERS: dict[str, Tiers] = {
    "model_a": ((0,), (1,)),
    "model_b": ((1,), (0,)),
    "tie": ((0, 1),),
    "tie (bothbad)": ((0, 1),),
    "bothbad": ((0, 1),),
}
BAD = {"tie (bothbad)", "bothbad"}
JUDGED_FIELDS = KNOWN_FIELDS | {"winner", "judge"}


def recognises(row: Row) -> bool:
    return {"conversation_a", "conversation_b", "winner"} <= row.keys()


def parse(row: Row) -> Parsed:
    winner = one_of(row.get("winner"), "winner", WINNERS)
    turn = int_of(row.get("turn"), "turn", low=1, high=MAX_MESSAGES)
    # An MT-bench judgement contains the whole conversation, but applies only to its `turn`.
    judged = None if turn is None else 2 * turn
    conversations = [turns_of(row.get(name), name)[:judged] for name in ("conversation_a", "conversation_b")]
    shared = shared_turns(conversations)
    rest = [turns[shared:] for turns in conversations]
    models = [label_of(row.get(name), name) for name in ("model_a", "model_b")]
    responses = tuple(
        ResponseRecord(reply_of(turns, name), model)
        for turns, name, model in zip(rest, ("conversation_a", "conversation_b"), models, strict=True)
    )
    messages = tuple(conversations[0][:shared])
    same = responses[0] == responses[1]
    time, given_at = row.get("tstamp"), time_of(row.get("tstamp"))
    ranking = RankingRecord(
        tiers=WINNERS[winner],
        annotator=label_of(row.get("judge"), "judge"),
        all_bad=winner in BAD,
        metadata=metadata_of(row, JUDGED_FIELDS),
        given_at=given_at,
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
            task_metadata={},
            quirks=tuple(found),
        )
    ]


FORMAT = ImportFormat(
    name="arena-battles",
    title="FastChat arena battles: two conversations and a winner (JSON)",
    reads="The turns that both conversations share are the prompt, and the rest of each "
    "conversation is a response. The winner becomes a ranking by the judge, with the time of "
    "the battle. `tie (bothbad)` is a tie marked as all bad.",
    loses="The structure of the turns after the first answer, which become part of the response's text.",
    example='{"model_a": "x", "model_b": "y", "winner": "tie", "judge": "arena_user_1", "conversation_a":'
    ' [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "conversation_b":'
    ' [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}]}',
    recognises=recognises,
    parse=parse,
)
