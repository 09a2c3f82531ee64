"""Prompts without responses: `{"prompt": "…"}` or `{"messages": […]}`; further fields become metadata.

Other formats also use the functions of this module to find the prompt of a row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from preferences.fields import given, list_of, metadata_of, prompt_messages, text_of
from preferences.formats.dialogues import (
    decoded_turns,
    open_conversation,
    read_turns,
    role_of,
    turn_metadata,
)
from preferences.records import ImportFormat, Message, Parsed, Record, Row, RowError

# Field names for the prompt, in order of preference.
CONVERSATION_NAMES = ("messages", "conversation", "conversations")
TEXT_NAMES = (
    "prompt",
    "question",
    "query",
    "instruction",
    "user_prompt",
    "user_input",
    "input",
    "context",
)
PROMPT_NAMES = (*CONVERSATION_NAMES, *TEXT_NAMES)
_PLACE = {name: place for place, name in enumerate(PROMPT_NAMES)}
# If a row has a conversation that ends with an answer, these fields are not read as the row's prompt. For
# example, a `context` field next to such a conversation contains background information.
WEAK_NAMES = (*CONVERSATION_NAMES, "context")
SYSTEM_NAMES = ("system", "system_prompt", "system_message")
_SYSTEM = frozenset(SYSTEM_NAMES)
FIELD_ALONE = {name: frozenset({name}) for name in PROMPT_NAMES}
INSTRUCTION_FIELDS = frozenset({"instruction", "input", "history"})
RESPONSE_FIELDS = frozenset({"metadata", "responses"})


class Prompt(NamedTuple):
    """A row's prompt. `messages` is the conversation, and `fields` names the fields of the row
    whose content the conversation contains. `turns` contains the further fields of the turns as metadata.
    `others` names the row's other prompt fields."""

    messages: tuple[Message, ...]
    fields: frozenset[str]
    turns: dict[str, Any]
    others: tuple[str, ...] = ()


# A row with a field whose name begins with one of these words has responses in an unknown format. Reading the
# row as a prompt would silently drop the responses.
ANSWER_FIELD = re.compile(r"chosen|rejected|response|completion|answer|output|prediction|sample|model")


def recognises(row: Row) -> bool:
    # `tools` describes the functions that a conversation can call.
    known = RESPONSE_FIELDS | prompt_fields(row) | {"prompt", "messages", "tools"}
    others = {key: value for key, value in row.items() if key not in known}
    return (
        not row.get("responses")
        and has_prompt(row)
        and not any(
            ANSWER_FIELD.match(key) or isinstance(value, (list, dict)) for key, value in others.items()
        )
    )


def parse(row: Row) -> Parsed:
    if row.get("responses"):
        raise RowError(
            "the row has responses, but a file of prompts can't contain responses (use --format rankloop)"
        )
    prompt = prompt_of(row)
    return [Record(messages=prompt.messages, metadata=prompt_metadata(row, prompt, RESPONSE_FIELDS))]


def has_prompt(row: Row) -> bool:
    return any(isinstance(row.get(name), (str, list, dict)) and row[name] for name in PROMPT_NAMES)


def prompt_fields(row: Row) -> frozenset[str]:
    """The names of the fields that :func:`prompt_of` reads from this row."""
    try:
        return prompt_of(row).fields
    except RowError:
        name = _chosen_name(row, prompt_names(row), False)
        return INSTRUCTION_FIELDS if name == "instruction" else FIELD_ALONE[name]


def prompt_of(row: Row, *, in_pair: bool = False) -> Prompt:
    """The row's conversation, which is read from `messages` or a prompt field. A string in a prompt field
    becomes one user turn. A prompt field can also contain a list of turns, as in TRL.

    The prompt field can also be named question, query, instruction, input, … A row with `instruction` can
    also have `input` and `history`. A `system` or `system_prompt` field becomes the first turn.

    `in_pair` is true if the row has a chosen and a rejected response. Many files with such rows also contain
    the conversation that ends with the chosen response. If there is another prompt field, a conversation that
    ends with an assistant turn is therefore not the prompt.
    """
    names = prompt_names(row)
    name = _chosen_name(row, names, in_pair)
    messages, turns = _read(row, name)
    fields = INSTRUCTION_FIELDS if name == "instruction" and isinstance(row[name], str) else FIELD_ALONE[name]
    messages, system = with_system(row, messages)
    if system:
        fields |= system
    if len(names) < 2:
        return Prompt(messages, fields, turns)
    others = tuple(other for other in names if other not in fields)
    return with_repeats(row, Prompt(messages, fields, turns, others))


def prompt_metadata(row: Row, prompt: Prompt, known: frozenset[str]) -> dict[str, Any]:
    """The row's metadata: the further fields of the prompt's turns, and all fields that are neither known nor
    part of the prompt."""
    return metadata_of({**row, **prompt.turns} if prompt.turns else row, known | prompt.fields)


def prompt_names(row: Row) -> list[str]:
    """The row's prompt fields that have a value, in order of preference."""
    names = [name for name in row if name in _PLACE and given(row[name])]
    return names if len(names) < 2 else sorted(names, key=_PLACE.__getitem__)


def _chosen_name(row: Row, names: Sequence[str], in_pair: bool) -> str:
    """The prompt field that contains the prompt; `in_pair` has the same meaning as in :func:`prompt_of`."""
    if not names:
        return "prompt"
    for place, name in enumerate(names):
        weak = name not in CONVERSATION_NAMES or all(other in WEAK_NAMES for other in names[place + 1 :])
        if weak or not in_pair or not _is_answered(row[name], name):
            return name
    return names[0]


def _is_answered(value: Any, name: str) -> bool:
    """Whether a conversation ends with an assistant turn, or is not a list of turns at all."""
    value = decoded_turns(value, name)
    last = value[-1] if isinstance(value, list) and value else value
    return (
        not isinstance(last, Mapping) or role_of(last) == "assistant" or not ({"role", "from"} & last.keys())
    )


def with_system(row: Row, messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], frozenset[str]]:
    """The conversation with the row's system prompt as its first turn, and the names of the system fields
    that are now part of the conversation.

    If the conversation has a system turn with another text, the system field remains metadata.
    """
    if _SYSTEM.isdisjoint(row):
        return messages, frozenset()
    used = set()
    for name in SYSTEM_NAMES:
        value = row.get(name)
        if not isinstance(value, str):
            continue
        if not value.strip():
            used.add(name)
        elif not messages or messages[0]["role"] != "system":
            messages = ({"role": "system", "content": text_of(value, name)}, *messages)
            used.add(name)
        elif messages[0]["content"].strip() == value.strip():
            used.add(name)
    return messages, frozenset(used)


def with_repeats(row: Row, prompt: Prompt, conversations: Sequence[Sequence[Message]] = ()) -> Prompt:
    """Move each field that only repeats known content from `prompt.others` to `prompt.fields`. Known content
    is the prompt, one of the conversations, or the text of one of their turns."""
    known = [stripped(turns) for turns in (prompt.messages, *conversations) if turns]
    known += [turns[1:] for turns in known if turns[0][0] == "system"]
    repeats = {name for name in prompt.others if _repeats(row[name], known)}
    others = tuple(name for name in prompt.others if name not in repeats)
    return Prompt(prompt.messages, prompt.fields | repeats, prompt.turns, others)


def stripped(turns: Sequence[Message]) -> list[tuple[str, str]]:
    """The turns without surrounding whitespace, which often differs between the fields of a row."""
    return [(turn["role"], turn["content"].strip()) for turn in turns]


def _repeats(value: Any, known: Sequence[list[tuple[str, str]]]) -> bool:
    value = decoded_turns(value, "")
    if isinstance(value, str):
        return any(value.strip() == text for turns in known for _, text in turns)
    try:
        turns = stripped(read_turns(value, "")[0])
    except RowError:
        return False
    return turns in known or (turns[0][0] == "system" and turns[1:] in known)


def _read(row: Row, name: str) -> tuple[tuple[Message, ...], dict[str, Any]]:
    value = decoded_turns(row.get(name), name)
    if name == "instruction" and isinstance(value, str):
        return conversation_of_instruction(row), {}
    if name in CONVERSATION_NAMES or isinstance(value, (list, dict)):
        turns, fields = read_turns(value, name)
        return open_conversation(turns, name), turn_metadata(fields)
    if value is None:
        raise RowError("prompt is missing (and there is no messages field)")
    return prompt_messages(value, name), {}


def conversation_of_instruction(row: Row) -> tuple[Message, ...]:
    """The conversation of a row with `instruction`, without the system prompt. The conversation begins with
    `history`, a list of [user, assistant] pairs. The last turn is `instruction`, followed by `input`."""
    messages: list[Message] = []
    for index, pair in enumerate(list_of(row["history"], "history") if given(row.get("history")) else []):
        turns = list_of(pair, f"history.{index}")
        if len(turns) != 2:
            raise RowError(f"history.{index} must be a pair [user, assistant], not {len(turns)} texts")
        for role, text in zip(("user", "assistant"), turns, strict=True):
            messages.append({"role": role, "content": text_of(text, f"history.{index}")})
    instruction = text_of(row.get("instruction"), "instruction")
    if given(row.get("input")):
        instruction = f"{instruction}\n\n{text_of(row['input'], 'input')}"
    if not instruction.strip():
        raise RowError("instruction is empty")
    return (*messages, {"role": "user", "content": instruction})


FORMAT = ImportFormat(
    name="prompts",
    title="Prompts without responses (JSON Lines, CSV, Parquet)",
    reads="One prompt per row. The prompt is `prompt`, `question`, `query`, `instruction`, `user_prompt`, "
    "`user_input`, `input` or `context`, as text or as turns. The prompt can also be a conversation in "
    "`messages`, `conversation` or `conversations`. `system` or `system_prompt` is the system turn. "
    "`instruction` can be accompanied by `input` and `history`.",
    loses="Nothing. Other fields are kept as the prompt's metadata.",
    example='{"id": "seed_task_0", "prompt": "Is there anything I can eat for breakfast?"}',
    recognises=recognises,
    parse=parse,
)
