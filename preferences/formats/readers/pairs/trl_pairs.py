"""TRL's preference data: `chosen` and `rejected`, with a `prompt` (explicit) or without one (implicit), as
plain texts or as lists of turns; `margin` is the strength of the preference.

Without a prompt, lists of turns are split at the first turn that differs. Plain texts are split at the last
space before the first difference, because TRL's split at the first differing character moves the beginning of
an answer into the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preferences.fields import (
    annotator_of,
    label_of,
    messages_of,
    metadata_of,
    prompt_messages,
    text_of,
    turns_or_text,
)
from preferences.formats.dialogues import quirks_of, reply_of, shared_turns, turns_of
from preferences.formats.readers.pairs.sides import SIDES, blind_order, strength_of
from preferences.formats.readers.prompts import conversation_of, has_prompt, prompt_fields
from preferences.formats.training_fields import training_fields
from preferences.quirks import IDENTICAL_PAIR, IMPLICIT_PROMPT, MARGIN_NOT_WHOLE, Quirk
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

KNOWN_FIELDS = frozenset(
    {"chosen", "rejected", "margin", "annotator", "ranking_id", "metadata", "chosen_model", "rejected_model"}
)
# Fields of Rankloop's own export that are meaningless in another database.
EXPORTED_FIELDS = frozenset({"prompt_group", "split"})


def recognises(row: Row) -> bool:
    return all(isinstance(row.get(side), (str, list)) and row[side] for side in SIDES)


def parse(row: Row) -> Parsed:
    sides = {side: _listed(row.get(side), side) for side in SIDES}
    if all(isinstance(value, str) for value in sides.values()):
        messages, replies, quirks = _plain(row, sides)
    elif any(isinstance(value, str) for value in sides.values()):
        raise RowError("chosen and rejected must both be text, or both lists of turns")
    else:
        messages, replies, quirks = _conversations(row, sides)
    known = KNOWN_FIELDS | prompt_fields(row)
    metadata = metadata_of(row, known | EXPORTED_FIELDS if row.get("ranking_id") else known)
    models = [label_of(row.get(f"{side}_model"), f"{side}_model") for side in SIDES]
    responses = [ResponseRecord(text, model) for text, model in zip(replies, models, strict=True)]
    if responses[0] == responses[1]:
        return [Record(messages, (responses[0],), metadata=metadata, quirks=(*quirks, IDENTICAL_PAIR))]
    strength, rest = strength_of(row)
    order = blind_order(replies)
    ranking = RankingRecord(
        tiers=((order.index(0),), (order.index(1),)),
        annotator=annotator_of(row),
        strength=strength,
        external_id=label_of(row.get("ranking_id"), "ranking_id"),
        metadata=rest,
        training=training_fields(row),
    )
    return [
        Record(
            messages,
            tuple(responses[side] for side in order),
            (ranking,),
            metadata=metadata,
            quirks=(*quirks, MARGIN_NOT_WHOLE) if rest else quirks,
        )
    ]


def _listed(value: Any, name: str) -> Any:
    """A list of turns; a CSV cell can contain the list as JSON or as Python code."""
    return turns_or_text(value, name)


def _plain(row: Row, sides: Mapping[str, Any]) -> tuple[tuple[Message, ...], list[str], tuple[Quirk, ...]]:
    texts = [text_of(sides[side], side) for side in SIDES]
    if has_prompt(row):
        messages = conversation_of(row)
        return messages, texts, quirks_of(messages, [_turn(text) for text in texts])
    shared = texts[0][: _shared_characters(*texts)]
    cut = max(shared.rfind(space) for space in (" ", "\n", "\t"))
    if cut <= 0 or not shared[:cut].strip():
        raise RowError("there is no prompt, and chosen and rejected do not begin with the same words")
    messages, texts = prompt_messages(shared[:cut]), [text[cut:] for text in texts]
    return messages, texts, (IMPLICIT_PROMPT, *quirks_of(messages, [_turn(text) for text in texts]))


def _shared_characters(one: str, two: str) -> int:
    places = (place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    return next(places, min(len(one), len(two)))


def _turn(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _conversations(
    row: Row, sides: Mapping[str, Any]
) -> tuple[tuple[Message, ...], list[str], tuple[Quirk, ...]]:
    conversations = [turns_of(sides[side], side) for side in SIDES]
    prompt = _prompt(row) if has_prompt(row) else None
    if prompt is None or any(turns[0]["role"] != "assistant" for turns in conversations):
        # Some files have a prompt field and repeat the prompt in both conversations.
        shared = shared_turns(conversations)
        prompt = tuple(conversations[0][:shared])
        conversations = [turns[shared:] for turns in conversations]
    replies = [reply_of(turns, side) for side, turns in zip(SIDES, conversations, strict=True)]
    return prompt, replies, quirks_of(prompt, conversations)


def _prompt(row: Row) -> tuple[Message, ...]:
    value = _listed(row.get("prompt"), "prompt")
    return messages_of(value, "prompt") if isinstance(value, list) else conversation_of(row)


FORMAT = ImportFormat(
    name="trl-preference",
    title="TRL preference: chosen and rejected, with or without a prompt (JSON Lines, CSV, Parquet)",
    reads="Each row becomes a task with two responses and a ranking. Without a prompt, the words "
    "that both texts begin with are the prompt. An integer `margin` is the strength; 0 means "
    "no strength.",
    loses="The exact boundary between an implicit prompt and the responses, if both texts are "
    "plain. A margin that is not a whole number is kept in the ranking's metadata.",
    example='{"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "margin": 1}',
    recognises=recognises,
    parse=parse,
)
