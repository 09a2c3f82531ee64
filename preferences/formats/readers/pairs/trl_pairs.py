"""TRL's preference data: `chosen` and `rejected`, as plain texts or as lists of turns. The prompt is explicit
(a `prompt` field) or implicit (no `prompt` field). `margin` is the preference's strength. Both sides can
repeat the prompt.

Without a prompt, lists of turns are split at the first turn that differs. Plain texts are split at the last
space before the first difference. TRL splits at the first differing character and thereby moves the beginning
of a response into the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from preferences.fields import annotator_of, label_of, prompt_messages, text_of
from preferences.formats.dialogues import (
    TurnFields,
    decoded_turns,
    quirks_of,
    read_turns,
    reply_of,
    shared_turns,
    turn_metadata,
)
from preferences.formats.readers.pairs import hh
from preferences.formats.readers.pairs.repeated import merged, possible_prompts, without_prompt
from preferences.formats.readers.pairs.sides import SIDES, blind_order, strength_of
from preferences.formats.readers.pairs.spelling import respelt, side_names
from preferences.formats.readers.prompts import (
    PROMPT_NAMES,
    SYSTEM_NAMES,
    Prompt,
    prompt_metadata,
    prompt_names,
    prompt_of,
    with_repeats,
    with_system,
)
from preferences.formats.training_fields import training_fields
from preferences.quirks import (
    IDENTICAL_PAIR,
    IMPLICIT_PROMPT,
    MARGIN_NOT_WHOLE,
    PROMPT_DIFFERS,
    PROMPT_REPEATED,
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

KNOWN_FIELDS = frozenset(
    {"chosen", "rejected", "margin", "annotator", "ranking_id", "metadata", "chosen_model", "rejected_model"}
)
# Fields of Rankloop's own export that are meaningless in another database.
EXPORTED_FIELDS = frozenset({"prompt_group", "split"})


class _Pair(NamedTuple):
    """The prompt, the two replies with their metadata, and the quirks of a row."""

    prompt: Prompt
    replies: list[str]
    quirks: tuple[Quirk, ...]
    metadata: tuple[dict[str, Any], dict[str, Any]]


def recognises(row: Row) -> bool:
    return side_names(row) is not None


def parser_of(rows: Sequence[Row]) -> Callable[[Row], Parsed]:
    """Return the parser for a file with these first rows. The responses' columns can have other names
    (`spelling`)."""
    names = next((found for row in rows if (found := side_names(row)) is not None), SIDES)
    if names == SIDES:
        return parse
    return lambda row: parse(respelt(row, names))


def parse(row: Row) -> Parsed:
    sides = {side: decoded_turns(row.get(side), side) for side in SIDES}
    if all(isinstance(value, str) for value in sides.values()):
        pair = _plain(row, sides)
    elif any(isinstance(value, str) for value in sides.values()):
        raise RowError("chosen and rejected must both be text, or both lists of turns")
    else:
        pair = _conversations(row, sides)
    messages, replies, quirks = pair.prompt.messages, pair.replies, pair.quirks
    known = KNOWN_FIELDS | EXPORTED_FIELDS if row.get("ranking_id") else KNOWN_FIELDS
    metadata = prompt_metadata(row, pair.prompt, known)
    responses = [
        ResponseRecord(text, label_of(row.get(f"{side}_model"), f"{side}_model"), metadata=further)
        for side, text, further in zip(SIDES, replies, pair.metadata, strict=True)
    ]
    if (replies[0], responses[0].model) == (replies[1], responses[1].model):
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


def _plain(row: Row, sides: Mapping[str, Any]) -> _Pair:
    texts = [text_of(sides[side], side) for side in SIDES]
    if _has_prompt(row):
        prompt = _with_hh_turns(prompt_of(row, in_pair=True))
        rests = without_prompt(prompt.messages[-1]["content"], texts)
        replies = [_turn(text) for text in rests or texts]
        if prompt.others:
            prompt = with_repeats(row, prompt, [[*prompt.messages, *turns] for turns in replies])
        quirks = quirks_of(prompt.messages, replies)
        return _Pair(prompt, rests or texts, (PROMPT_REPEATED, *quirks) if rests else quirks, ({}, {}))
    if empty := [name for name in PROMPT_NAMES if name in row]:
        raise RowError(
            f"{empty[0]} is empty; fill it in, or remove the field if both texts begin with the prompt"
        )
    _refuse_unknown_prompt(row)
    shared = texts[0][: _shared_characters(*texts)]
    cut = max(shared.rfind(space) for space in (" ", "\n", "\t"))
    if cut <= 0 or not shared[:cut].strip():
        raise RowError("there is no prompt, and chosen and rejected do not begin with the same words")
    messages, system = with_system(row, prompt_messages(shared[:cut]))
    texts = [text[cut:] for text in texts]
    quirks = quirks_of(messages, [_turn(text) for text in texts])
    return _Pair(Prompt(messages, system, {}), texts, (IMPLICIT_PROMPT, *quirks), ({}, {}))


def _with_hh_turns(prompt: Prompt) -> Prompt:
    """The prompt. A string in the format of hh-rlhf ("\\n\\nHuman: …") is split into its turns."""
    last = prompt.messages[-1]
    if not last["content"].startswith("\n\n") or last["role"] != "user" or not hh.TURN.match(last["content"]):
        return prompt
    before = prompt.messages[:-1]
    return prompt._replace(messages=(*before, *hh.prompt_turns(last["content"], "prompt")))


def _has_prompt(row: Row) -> bool:
    """Whether any of the row's prompt fields has a value other than an empty list or object."""
    names = prompt_names(row)
    return bool(names) and (row[names[0]] not in ([], {}) or any(row[name] not in ([], {}) for name in names))


def _refuse_unknown_prompt(row: Row) -> None:
    """Raise RowError if an unknown field of a row without a prompt field could contain the prompt. In such a
    row, the words that both texts begin with could belong to two similar responses instead of the prompt."""
    names = possible_prompts(row, KNOWN_FIELDS | EXPORTED_FIELDS | frozenset(SYSTEM_NAMES))
    if names:
        raise RowError(
            f"there is no known prompt field, but {', '.join(names[:5])} could contain the prompt; rename "
            "the prompt's field to prompt, or remove the listed fields if both texts begin with the prompt"
        )


def _shared_characters(one: str, two: str) -> int:
    places = (place for place, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    return next(places, min(len(one), len(two)))


def _turn(text: str) -> list[Message]:
    return [{"role": "assistant", "content": text}]


def _conversations(row: Row, sides: Mapping[str, Any]) -> _Pair:
    read = [read_turns(sides[side], side) for side in SIDES]
    conversations = [turns for turns, _ in read]
    if all(turns[0]["role"] == "assistant" for turns in conversations) and _has_prompt(row):
        shared, prompt, differs = 0, prompt_of(row, in_pair=True), False
    else:
        # Many files have a prompt field and repeat the prompt in both conversations.
        shared, prompt, differs = _shared_prompt(row, read)
    rests = [turns[shared:] for turns in conversations]
    if prompt.others:
        prompt = with_repeats(row, prompt, [*conversations, *([*prompt.messages, *rest] for rest in rests)])
    replies = [reply_of(turns, side) for side, turns in zip(SIDES, rests, strict=True)]
    quirks = quirks_of(prompt.messages, rests)
    (_, one), (_, two) = read
    metadata = turn_metadata(one, shared), turn_metadata(two, shared)
    return _Pair(prompt, replies, (PROMPT_DIFFERS, *quirks) if differs else quirks, metadata)


def _shared_prompt(row: Row, read: Sequence[tuple[list[Message], TurnFields]]) -> tuple[int, Prompt, bool]:
    """Find the prompt of a row with two conversations. The first result is the number of turns that both
    conversations share. The second result is the prompt, which combines the shared turns and the row's prompt
    field. The third result is true if the prompt field differs from the shared turns; the shared turns are
    then the prompt."""
    conversations = [turns for turns, _ in read]
    if all(turns[0]["role"] == "assistant" for turns in conversations):
        _refuse_unknown_prompt(row)
    shared = shared_turns(conversations)
    opening, fields = conversations[0][:shared], read[0][1]
    prompt = _prompt_beside(row)
    messages = merged(prompt.messages, opening) if prompt.messages else tuple(opening)
    if messages is None:
        names = tuple(prompt_names(row))
        return shared, Prompt(tuple(opening), frozenset(), turn_metadata(fields, 0, shared), names), True
    # The prompt ends with the shared turns. Turns that are only in the prompt field come before these turns.
    turns = turn_metadata(fields, shared - len(messages), shared)
    return shared, Prompt(messages, prompt.fields, turns or prompt.turns, prompt.others), False


def _prompt_beside(row: Row) -> Prompt:
    """The prompt in the row's prompt field. If no field can be read as a prompt, the result contains only the
    system prompt; the two conversations then contain the prompt."""
    names = prompt_names(row)
    if names:
        try:
            return prompt_of(row, in_pair=True)
        except RowError:
            pass
    messages, system = with_system(row, ())
    return Prompt(messages, system, {}, tuple(names))


FORMAT = ImportFormat(
    name="trl-preference",
    title="TRL preference: chosen and rejected, with or without a prompt (JSON Lines, CSV, Parquet)",
    reads="Each row becomes a task with two responses and a ranking. Columns such as `chosen_response` and "
    "`rejected_response`, `good_answer` and `bad_answer`, or OpenAI's `preferred_output` and "
    "`non_preferred_output`, are read as `chosen` and `rejected`. The prompt is `prompt` or another known"
    " field (`question`, `query`, `instruction`, `input`, `context`, `messages`, `conversations`, …). "
    "`system` or `system_prompt` is the system turn. If the responses repeat the prompt, the prompt is "
    "read only once. Without a prompt field, the prompt is the turns that both conversations share, or "
    "the words that both texts begin with. If an unknown field could contain the prompt, the words that "
    "both texts begin with are not used, and the row is rejected. An integer `margin` is the strength; 0 "
    "means no strength. Tool calls are part of the text, as a `tool_calls` block with one call per line.",
    loses="The exact boundary between an implicit prompt and the responses, if both sides are plain text. "
    "The structure of the turns after the first assistant turn: these turns become part of the response's "
    "text. A margin that is not a whole number is kept in the ranking's metadata. Other fields of turns, "
    "such as the IDs of tool calls, are kept as `turn_fields` in the metadata of the prompt or the response.",
    example='{"prompt": "The sky is", "chosen": " blue.", "rejected": " green.", "margin": 1}',
    recognises=recognises,
    parse=parse,
    parser_of=parser_of,
)
