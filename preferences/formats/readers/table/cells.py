"""The cells of a row as a conversation and its replies.

A cell can be a string, a list of turns, or a list of strings: one per turn of a conversation, as in the Arena
tables. A prompt in the format of hh-rlhf ("\\n\\nHuman: …\\n\\nAssistant:") is split into its turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preferences.fields import given, kind, parsed_of, prompt_messages, text_of
from preferences.formats.dialogues import messages_of, reply_of, shared_turns, turns_of
from preferences.formats.readers.pairs import hh
from preferences.formats.readers.prompts import INSTRUCTION_FIELDS, conversation_of_instruction
from preferences.records import Message, Row, RowError

TEXT_KEYS = ("text", "response", "content", "completion", "output", "answer", "summary")
# The keys that can contain the text of a prompt that is an object, such as WebGPT's `question`.
PROMPT_KEYS = ("full_text", "text", "content", "prompt", "question")


@dataclass(frozen=True, slots=True)
class Replies:
    """The replies of a row. `items` are the replies as in the file, and `texts` are their texts. The text of
    a list of turns is the text of its last turn."""

    items: tuple[Any, ...]
    texts: tuple[str, ...]


def replies_of(row: Row, columns: Sequence[str]) -> Replies:
    """The replies in these columns. If there is only one column, it contains a list of replies. Empty cells
    after the last reply are left out. Raises RowError if a single column does not contain a list."""
    if len(columns) == 1:
        items = listed(row.get(columns[0]))
        if items is None:
            raise RowError(f"{columns[0]} must be a list, not {kind(row.get(columns[0]))}")
    else:
        items = [_decoded(row.get(column)) for column in columns]
        while items and not given(items[-1]):
            items.pop()
    return Replies(tuple(items), tuple(_text(item) for item in items))


def conversation_and_texts(row: Row, prompt: str, replies: Replies) -> tuple[tuple[Message, ...], list[str]]:
    """The conversation before the replies, and the texts of the replies. Raises RowError if a cell can't be
    read."""
    cell = _decoded(row.get(prompt))
    if _is_texts(cell) and all(_is_texts(item) for item in replies.items):
        return _from_turns(cell, replies, prompt)
    texts = [_reply(item, f"response {number}") for number, item in enumerate(replies.items, start=1)]
    if _is_texts(cell) and len(cell) == 1:
        cell = cell[0]
    if isinstance(cell, list):
        return messages_of(cell, prompt), texts
    if isinstance(cell, Mapping):
        cell = cell.get(next((key for key in PROMPT_KEYS if isinstance(cell.get(key), str)), ""), cell)
    text = text_of(cell, prompt)
    if hh.TURN.match(text):
        return hh.prompt_turns(text, prompt), texts
    if len(prompt_fields(row, prompt)) > 1:
        return conversation_of_instruction(row), texts
    return prompt_messages(text, prompt), texts


def ids_of(items: Sequence[Any]) -> tuple[str, ...]:
    """The IDs of listed responses; empty unless all responses have different IDs."""
    ids = [str(item["id"]) for item in items if isinstance(item, Mapping) and given(item.get("id"))]
    return tuple(ids) if len(ids) == len(items) == len(set(ids)) else ()


def prompt_fields(row: Row, prompt: str) -> frozenset[str]:
    """The columns whose entire content is included in the conversation that :func:`conversation_and_texts`
    returns. With `instruction`, these include `input` and `history`. A prompt that is an object is not
    included, because an object can have further fields besides its text."""
    if isinstance(row.get(prompt), Mapping):
        return frozenset()
    if prompt == "instruction" and isinstance(row.get(prompt), str):
        return INSTRUCTION_FIELDS
    return frozenset({prompt})


def listed(value: object) -> list[Any] | None:
    """A list, or the list that a CSV cell contains as JSON or as Python code; None for anything else."""
    decoded = _decoded(value)
    return decoded if isinstance(decoded, list) else None


def _decoded(value: object) -> Any:
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return parsed_of(value, "the cell")
        except RowError:
            return value
    return value


def _is_texts(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(item is None or isinstance(item, str) for item in value)
    )


def _text(item: object) -> str:
    """The text by which a vote can name the reply."""
    if isinstance(item, Mapping):
        item = next((item[key] for key in TEXT_KEYS if isinstance(item.get(key), str)), "")
    if isinstance(item, list) and item:
        return _text(item[-1])
    return item if isinstance(item, str) else ""


def _reply(item: object, where: str) -> str:
    if isinstance(item, list):
        if _is_texts(item) and len(item) == 1:
            return text_of(item[0], where)
        turns = turns_of(item, where)
        return reply_of(turns, where)
    if isinstance(item, Mapping):
        key = next((key for key in TEXT_KEYS if key in item), "text")
        return text_of(item.get(key), f"{where}.{key}")
    return text_of(item, where)


def _from_turns(
    asked: Sequence[str | None], replies: Replies, name: str
) -> tuple[tuple[Message, ...], list[str]]:
    """The prompt and the replies, from a list of questions and one list of answers per response. All lists
    must have the same length."""
    conversations: list[list[Message]] = []
    for number, answers in enumerate(replies.items, start=1):
        if len(answers) != len(asked):
            raise RowError(f"{name} has {len(asked)} turns, but response {number} has {len(answers)}")
        turns: list[Message] = []
        for place, (question, answer) in enumerate(zip(asked, answers, strict=True)):
            turns.append({"role": "user", "content": text_of(question, f"{name}.{place}")})
            # null: the model did not answer this turn.
            content = text_of("" if answer is None else answer, f"response {number}.{place}")
            turns.append({"role": "assistant", "content": content})
        conversations.append(turns)
    shared = shared_turns(conversations)
    texts = [reply_of(turns[shared:], f"response {number}") for number, turns in enumerate(conversations, 1)]
    return tuple(conversations[0][:shared]), texts
