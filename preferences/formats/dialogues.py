"""Read conversations, and split each pair of conversations into a prompt and two replies. The shared
beginning is the prompt. The rest of each conversation is its reply, as text.

A reply that contains further turns is written in the dialogue format of hh-rlhf, so nothing is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import kind, list_of, metadata_of, parsed_of
from preferences.formats.turn_content import further_fields, turn_text
from preferences.quirks import EMPTY_REPLY, EMPTY_TURN, NOT_ALTERNATING, RUNS_ON, Quirk
from preferences.records import Message, RowError
from preferences.text import MAX_MESSAGES, ROLES, text_fault

LABELS = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}
HH_ROLES = {"Human": "user", "Assistant": "assistant"}
# Role names that occur in chat files, in lower case. ShareGPT uses "human", "gpt", "observation" and
# "function_call".
SPELLINGS = {
    **{role: role for role in ROLES},
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "developer": "system",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}
TURN_FIELDS = "turn_fields"
# Matches the beginning of a list of turns, or of a single turn, written as JSON or as Python code.
TURNS_AS_TEXT = re.compile(
    r"""\s*(?:(?:np\.|numpy\.)?array\(\s*)?(\[\s*)?\{\s*["'](role|from|content|value|name|weight)["']\s*:"""
)
BEFORE_TURNS = frozenset("[{an \t\r\n")
# For each turn, by its index: the fields other than role and content.
TurnFields = dict[int, dict[str, Any]]


def turns_of(value: object, name: str) -> list[Message]:
    """The turns of a conversation, with roles in any order."""
    return read_turns(value, name)[0]


def messages_of(value: object, name: str = "messages") -> tuple[Message, ...]:
    """A conversation that the model can continue. The last turn must not be the assistant's."""
    return open_conversation(turns_of(value, name), name)


def open_conversation(turns: Sequence[Message], name: str) -> tuple[Message, ...]:
    """Return the turns if they contain text and do not end with an assistant turn; otherwise raise a
    RowError."""
    if turns[-1]["role"] == "assistant":
        raise RowError(f"{name} ends with an assistant turn, so there is nothing to answer")
    if all(is_blank(turn["content"]) for turn in turns):
        raise RowError(f"{name} contains no text")
    return tuple(turns)


def read_turns(value: object, name: str) -> tuple[list[Message], TurnFields]:
    """Parse a list of turns, or a single turn, and return the turns with their further fields. A turn is
    {role, content} or ShareGPT's {from, value}."""
    found = [value] if isinstance(value, Mapping) else list_of(value, name)
    if not found:
        raise RowError(f"{name} is empty")
    if len(found) > MAX_MESSAGES:
        raise RowError(f"{name} has {len(found)} turns; the maximum is {MAX_MESSAGES}")
    turns: list[Message] = []
    fields: TurnFields = {}
    for index, turn in enumerate(found):
        if not isinstance(turn, Mapping):
            raise RowError(f"{name}.{index} must be an object with role and content, not {kind(turn)}")
        spelt, content = turn.get("role"), turn.get("content")
        role = SPELLINGS.get(spelt) if isinstance(spelt, str) else None
        # Almost all turns have exactly these two fields. For such a turn, the path for error messages is not
        # built, because building the path takes as long as reading the turn.
        if role is not None and len(turn) == 2 and isinstance(content, str) and not text_fault(content):
            turns.append({"role": role, "content": content})
            continue
        role = role_of(turn)
        if role is None:
            raise RowError(f"{name}.{index}.role is {_spelt(turn)!r}; it must be one of {', '.join(ROLES)}")
        turns.append({"role": role, "content": turn_text(turn, f"{name}.{index}")})
        further = further_fields(turn)
        if further:
            fields[index] = further
    return turns, fields


def role_of(turn: Mapping[str, Any]) -> str | None:
    """The role of a turn, or None if the role is unknown."""
    spelt = _spelt(turn)
    if not isinstance(spelt, str):
        return None
    return SPELLINGS.get(spelt) or SPELLINGS.get(spelt.strip().lower())


def _spelt(turn: Mapping[str, Any]) -> Any:
    role = turn.get("role")
    return turn.get("from") if role is None else role


def decoded_turns(value: Any, name: str) -> Any:
    """The turns in a CSV cell that contains them as JSON or as a Python literal. Any other value is returned
    unchanged.

    JSON without roles is not parsed as turns, because such JSON can be a response to a request for JSON.
    """
    if not isinstance(value, str) or value[:1] not in BEFORE_TURNS:
        return value
    match = TURNS_AS_TEXT.match(value)
    if match is None:
        return value
    try:
        decoded = parsed_of(value, name)
    except RowError:
        if match[1] is None or match[2] in {"name", "weight"}:
            return value
        raise
    if isinstance(decoded, Mapping):
        return decoded if _spelt(decoded) and {"content", "value"} & decoded.keys() else value
    return decoded if all(isinstance(turn, Mapping) and _spelt(turn) for turn in decoded) else value


def turn_metadata(fields: TurnFields, start: int = 0, stop: int | None = None) -> dict[str, Any]:
    """The further fields of the turns from `start` to `stop` as metadata. The turn at `start` is
    numbered 0. Raises RowError if the fields can't be stored."""
    if not fields:
        return {}
    found = [
        {"turn": index - start, **further}
        for index, further in fields.items()
        if index >= start and (stop is None or index < stop)
    ]
    return metadata_of({TURN_FIELDS: found} if found else {}, frozenset())


def reply_of(turns: Sequence[Message], name: str) -> str:
    """The text of the assistant's turn, with any further turns appended as in hh-rlhf."""
    if not turns:
        raise RowError(f"{name} contains no reply")
    if turns[0]["role"] != "assistant":
        raise RowError(f"{name} begins with a {turns[0]['role']} turn; it must begin with an assistant turn")
    first, *further = turns
    return run_on(first["content"], [(LABELS[turn["role"]], turn["content"]) for turn in further])


def run_on(reply: str, further: Sequence[tuple[str, str]]) -> str:
    return reply + "".join(f"\n\n{label}: {text}" for label, text in further)


def dialogue_of(messages: Sequence[Message], response: str) -> str:
    """Write a conversation and one response as an hh-rlhf dialogue. The hh-rlhf reader splits such a dialogue
    into a conversation and a response."""
    labels = {role: label for label, role in HH_ROLES.items()}
    turns = [(labels[message["role"]], message["content"]) for message in messages]
    return "".join(f"\n\n{label}: {text}" for label, text in [*turns, ("Assistant", response)])


def shared_turns(conversations: Sequence[Sequence[Message]]) -> int:
    """The number of leading turns that form the common prompt. These turns are the same in all conversations,
    and in each conversation an assistant turn follows them. Raises RowError if there is no common prompt."""
    shared = 0
    for turns in zip(*conversations, strict=False):
        if turns.count(turns[0]) != len(turns):
            break
        shared += 1
    shared = min(shared, min(map(len, conversations)) - 1)
    while shared and not (
        conversations[0][shared - 1]["role"] != "assistant"
        and all(turns[shared]["role"] == "assistant" for turns in conversations)
    ):
        shared -= 1
    if shared <= 0:
        raise RowError(
            "the conversations have no common prompt (the same opening turns, followed by an assistant turn "
            "in every conversation); " + _parting(conversations)
        )
    return shared


def _parting(conversations: Sequence[Sequence[Message]]) -> str:
    """The part of an error message that states where the conversations first differ."""
    for index, turns in enumerate(zip(*conversations, strict=False)):
        if any(turn != turns[0] for turn in turns):
            roles = dict.fromkeys(turn["role"] for turn in turns)
            return f"they first differ at turn {index}, counted from 0 ({' and '.join(roles)})"
    return "one conversation is the beginning of the other"


def quirks_of(messages: Sequence[Message], replies: Sequence[Sequence[Message]]) -> tuple[Quirk, ...]:
    """The quirks of a prompt and its replies."""
    empty_reply = runs_on = empty_turn = not_alternating = False
    for turns in replies:
        if turns:
            empty_reply = empty_reply or is_blank(turns[0]["content"])
            runs_on = runs_on or len(turns) > 1
    former = ""
    for message in messages:
        empty_turn = empty_turn or is_blank(message["content"])
        not_alternating = not_alternating or message["role"] == former
        former = message["role"]
    if not (empty_reply or runs_on or empty_turn or not_alternating):
        return ()
    found = {
        EMPTY_REPLY: empty_reply,
        EMPTY_TURN: empty_turn,
        RUNS_ON: runs_on,
        NOT_ALTERNATING: not_alternating,
    }
    return tuple(quirk for quirk, holds in found.items() if holds)


def is_blank(text: str) -> bool:
    return not text or text.isspace()
