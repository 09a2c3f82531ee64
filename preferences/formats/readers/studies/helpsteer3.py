"""NVIDIA's HelpSteer3 preferences: a conversation, two responses, and an overall preference from −3 to 3.

`overall_preference` combines the annotators' `individual_preference` values, which are kept as metadata.
"""

from __future__ import annotations

from preferences.fields import int_of, metadata_of, text_of
from preferences.formats.dialogues import messages_of, quirks_of
from preferences.records import (
    ImportFormat,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
    Tiers,
)

SIDES = ("response1", "response2")
KNOWN_FIELDS = frozenset({"context", *SIDES, "overall_preference", "individual_preference", "metadata"})
MAX_PREFERENCE = 3


def recognises(row: Row) -> bool:
    return {"context", *SIDES, "overall_preference"} <= row.keys()


def parse(row: Row) -> Parsed:
    messages = messages_of(row.get("context"), "context")
    texts = [text_of(row.get(side), side) for side in SIDES]
    signed = int_of(
        row.get("overall_preference"), "overall_preference", low=-MAX_PREFERENCE, high=MAX_PREFERENCE
    )
    if signed is None:
        raise RowError(
            "overall_preference is missing; it must be from -3 (the first response is better) to 3 (the"
            " second is better)"
        )
    tiers: Tiers = ((0, 1),) if signed == 0 else ((0,), (1,)) if signed < 0 else ((1,), (0,))
    individual = {"individual_preference": row.get("individual_preference")}
    return [
        Record(
            messages=messages,
            responses=tuple(map(ResponseRecord, texts)),
            rankings=(
                RankingRecord(
                    tiers=tiers, strength=abs(signed) or None, metadata=metadata_of(individual, frozenset())
                ),
            ),
            metadata=metadata_of(row, KNOWN_FIELDS),
            task_metadata={},
            quirks=quirks_of(messages, [[{"role": "assistant", "content": text}] for text in texts]),
        )
    ]


FORMAT = ImportFormat(
    name="helpsteer3",
    title="HelpSteer3 preferences: two responses and a signed preference (JSON Lines)",
    reads="Each row becomes a ranking. If `overall_preference` is below 0, the first response is better. If"
    " it is above 0, the second response is better. 0 is a tie, and the absolute value is the strength.",
    loses="Nothing. The annotators' `individual_preference` values are kept as metadata of the ranking, not"
    " as separate rankings; all other fields are kept as metadata of the prompt.",
    example='{"context": [{"role": "user", "content": "Q"}], "response1": "a", "response2": "b",'
    ' "overall_preference": -2, "individual_preference": [{"score": -2, "reasoning": "…"}]}',
    recognises=recognises,
    parse=parse,
)
