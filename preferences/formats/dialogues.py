"""Split pairs of conversations: the shared beginning is the prompt, and the rest of each conversation is its
reply, as text.

A reply that contains further turns is written in the dialogue format of hh-rlhf, so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from preferences.fields import kind, list_of, text_of
from preferences.quirks import EMPTY_REPLY, EMPTY_TURN, NOT_ALTERNATING, RUNS_ON, Quirk
from preferences.records import Message, RowError
from preferences.text import MAX_MESSAGES, ROLES

LABELS = {"user": "Human", "assistant": "Assistant", "system": "System", "tool": "Tool"}
HH_ROLES = {"Human": "user", "Assistant": "assistant"}
# Role names that occur in chat files; "human" and "gpt" are used by ShareGPT.
SPELLINGS = {
    **{role: role for role in ROLES},
    "human": "user",
    "prompter": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "developer": "system",
    "function": "tool",
}


def turns_of(value: object, name: str) -> list[Message]:
    """Parse a list of {role, content} (or ShareGPT's {from, value}) turns, with roles in any order."""
    given = list_of(value, name)
    if not given:
        raise RowError(f"{name} is empty")
    if len(given) > MAX_MESSAGES:
        raise RowError(f"{name} has {len(given)} turns; the maximum is {MAX_MESSAGES}")
    turns: list[Message] = []
    for index, turn in enumerate(given):
        where = f"{name}.{index}"
        if not isinstance(turn, Mapping):
            raise RowError(f"{where} must be an object with role and content, not {kind(turn)}")
        spelt = turn.get("role", turn.get("from"))
        role = SPELLINGS.get(spelt) if isinstance(spelt, str) else None
        if role is None:
            raise RowError(f"{where}.role is {spelt!r}; it must be one of {', '.join(ROLES)}")
        content = turn.get("content", turn.get("value"))
        turns.append({"role": role, "content": text_of(content, f"{where}.content")})
    return turns


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
    """Write a conversation and one response as an hh-rlhf dialogue: the inverse of the hh-rlhf reader for one
    of the two dialogues."""
    labels = {role: label for label, role in HH_ROLES.items()}
    turns = [(labels[message["role"]], message["content"]) for message in messages]
    return "".join(f"\n\n{label}: {text}" for label, text in [*turns, ("Assistant", response)])


def shared_turns(conversations: Sequence[Sequence[Message]]) -> int:
    """The number of leading turns that all conversations share, ending at a turn that the assistant answers
    in each conversation. Raises RowError if there is no such turn."""
    shared = 0
    for turns in zip(*conversations, strict=False):
        if any(turn != turns[0] for turn in turns):
            break
        shared += 1
    shared = min(shared, min(map(len, conversations)) - 1)
    while shared and not (
        conversations[0][shared - 1]["role"] != "assistant"
        and all(turns[shared]["role"] == "assistant" for turns in conversations)
    ):
        shared -= 1
    if shared <= 0:
        raise RowError("the conversations share no opening turn that the assistant answers in each of them")
    return shared


def quirks_of(messages: Sequence[Message], replies: Sequence[Sequence[Message]]) -> tuple[Quirk, ...]:
    """The quirks of a prompt and its replies."""
    roles = [message["role"] for message in messages]
    found = {
        EMPTY_REPLY: any(not turns[0]["content"].strip() for turns in replies if turns),
        EMPTY_TURN: any(not message["content"].strip() for message in messages),
        RUNS_ON: any(len(turns) > 1 for turns in replies),
        NOT_ALTERNATING: any(one == two for one, two in pairwise(roles)),
    }
    return tuple(quirk for quirk, holds in found.items() if holds)
