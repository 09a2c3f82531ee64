"""Anthropic's hh-rlhf: `chosen` and `rejected` are whole dialogues as text.

The prompt is the part that both dialogues share, up to and including a Human turn. Each response is the rest
of its dialogue, unchanged, and can therefore contain further turns.
:func:`~preferences.formats.dialogues.dialogue_of` restores the original dialogue byte for byte.
"""

from __future__ import annotations

import re
from itertools import pairwise

from preferences.fields import annotator_of, metadata_of, text_of
from preferences.formats.dialogues import HH_ROLES, messages_of, run_on
from preferences.formats.readers.pairs.sides import blind_order, strength_of
from preferences.formats.readers.prompts import with_system
from preferences.formats.training_fields import training_fields
from preferences.quirks import (
    EMPTY_REPLY,
    EMPTY_TURN,
    IDENTICAL_PAIR,
    MARGIN_NOT_WHOLE,
    NOT_ALTERNATING,
    ROLE_IN_TEXT,
    RUNS_ON,
    Quirk,
)
from preferences.records import (
    ImportFormat,
    Message,
    Parsed,
    RankingRecord,
    Record,
    ResponseRecord,
    Row,
    RowError,
)
from preferences.text import MAX_MESSAGES

KNOWN_FIELDS = frozenset({"chosen", "rejected", "metadata", "annotator", "margin"})
# A turn begins only at "\n\nHuman:" or "\n\nAssistant:". Inside a line, "Human:" is ordinary text.
TURN = re.compile(r"\n\n(Human|Assistant):")
LOOSE_ROLE = re.compile(r"\b(Humans?|Assistant)\b ?:|\n\n(Human|Assistant)\s*$")
Turn = tuple[str, str]


def recognises(row: Row) -> bool:
    return all(isinstance(row.get(key), str) and TURN.search(row[key]) for key in ("chosen", "rejected"))


def parse(row: Row) -> Parsed:
    chosen = turns_of(text_of(row.get("chosen"), "chosen"), "chosen")
    rejected = turns_of(text_of(row.get("rejected"), "rejected"), "rejected")
    shared = _shared_turns(chosen, rejected)
    prompt, replies = chosen[:shared], (_rest(chosen[shared:]), _rest(rejected[shared:]))
    messages = tuple({"role": HH_ROLES[role], "content": text} for role, text in prompt)
    messages, system = with_system(row, messages)
    quirks = tuple(_quirks(prompt, chosen[shared:], rejected[shared:]))
    metadata = metadata_of(row, KNOWN_FIELDS | system if system else KNOWN_FIELDS)
    if replies[0] == replies[1]:
        return [Record(messages, (ResponseRecord(text=replies[0]),), metadata=metadata, quirks=quirks)]
    order = blind_order(replies)
    strength, rest = strength_of(row)
    ranking = RankingRecord(
        tiers=((order.index(0),), (order.index(1),)),
        annotator=annotator_of(row),
        strength=strength,
        metadata=rest,
        training=training_fields(row),
    )
    return [
        Record(
            messages=messages,
            responses=tuple(ResponseRecord(text=replies[side]) for side in order),
            rankings=(ranking,),
            metadata=metadata,
            quirks=(*quirks, MARGIN_NOT_WHOLE) if rest else quirks,
        )
    ]


def turns_of(dialogue: str, name: str) -> list[Turn]:
    """(role, text) of each turn. The single space after the colon is part of the label."""
    pieces = TURN.split(dialogue)
    if len(pieces) == 1:
        raise RowError(f'{name} has no "\\n\\nHuman:" or "\\n\\nAssistant:" turn')
    if pieces[0].strip():
        raise RowError(f"{name} has text before its first turn: {pieces[0].strip()[:40]!r}")
    turns = [(role, text.removeprefix(" ")) for role, text in zip(pieces[1::2], pieces[2::2], strict=True)]
    if len(turns) > MAX_MESSAGES:
        raise RowError(f"{name} has {len(turns)} turns; the maximum is {MAX_MESSAGES}")
    return turns


def prompt_turns(text: str, name: str) -> tuple[Message, ...]:
    """The turns of a prompt in this format. An empty Assistant turn at the end only marks where a response
    begins, and is left out."""
    turns = turns_of(text, name)
    if turns[-1][0] == "Assistant" and not turns[-1][1].strip():
        turns = turns[:-1]
    return messages_of([{"role": HH_ROLES[role], "content": said} for role, said in turns], name)


def _shared_turns(chosen: list[Turn], rejected: list[Turn]) -> int:
    """The number of leading turns that form the prompt. Both dialogues begin with these turns. The prompt
    ends with a Human turn, and an Assistant turn follows it in both dialogues."""
    limit = min(len(chosen), len(rejected)) - 1
    shared = 0
    while shared < limit and chosen[shared] == rejected[shared]:
        shared += 1
    while shared and not (
        chosen[shared - 1][0] == "Human" and chosen[shared][0] == rejected[shared][0] == "Assistant"
    ):
        shared -= 1
    if not shared:
        raise RowError(
            "chosen and rejected have no common prompt (the same opening turns up to a Human turn, followed "
            "by an Assistant turn in both)"
        )
    return shared


def _rest(turns: list[Turn]) -> str:
    """The reply: the text of the first turn, with any further turns written as in the file."""
    (_, reply), *further = turns
    return run_on(reply, further)


def _quirks(prompt: list[Turn], chosen: list[Turn], rejected: list[Turn]) -> list[Quirk]:
    roles = [role for role, _ in prompt]
    reply_texts = [chosen[0][1], rejected[0][1]]
    found = {
        IDENTICAL_PAIR: chosen == rejected,
        EMPTY_REPLY: any(not text.strip() for text in reply_texts),
        EMPTY_TURN: any(not text.strip() for _, text in prompt),
        RUNS_ON: len(chosen) > 1 or len(rejected) > 1,
        NOT_ALTERNATING: any(one == two for one, two in pairwise(roles)),
        # A plain substring search comes first. Without it, matching the pattern took a tenth of the import
        # time.
        ROLE_IN_TEXT: any(
            ("Human" in text or "Assistant" in text) and LOOSE_ROLE.search(text)
            for _, text in [*prompt, *chosen, *rejected]
        ),
    }
    return [quirk for quirk, holds in found.items() if holds]


FORMAT = ImportFormat(
    name="hh-rlhf",
    title="Anthropic hh-rlhf: pairs of dialogues (JSON Lines)",
    reads="The prompt is the part that both dialogues share, up to a Human turn. The rest of each "
    "dialogue is its response, and the chosen response is ranked first. `system` or `system_prompt` is the "
    "system turn. The responses are stored in an order that does not reveal the winner.",
    loses="Nothing. An export restores the dialogues byte for byte.",
    example=r'{"chosen": "\n\nHuman: Q\n\nAssistant: A1", "rejected": "\n\nHuman: Q\n\nAssistant: A2"}',
    recognises=recognises,
    parse=parse,
)
