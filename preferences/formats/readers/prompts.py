"""Prompts without responses: `{"prompt": "…"}` or `{"messages": […]}`; further fields become metadata."""

from __future__ import annotations

import re

from preferences.fields import given, messages_of, metadata_of, prompt_messages
from preferences.formats.readers.ranked_outputs import conversation_of_instruction
from preferences.records import ImportFormat, Parsed, Record, Row, RowError

# Field names for the prompt, in order of preference.
CONVERSATION_NAMES = ("messages", "conversation")
TEXT_NAMES = ("prompt", "question", "query", "instruction")
PROMPT_NAMES = (*CONVERSATION_NAMES, *TEXT_NAMES)
KNOWN_FIELDS = frozenset({"prompt", "messages", "metadata", "responses"})


# A row with one of these fields contains responses in an unknown format. Reading the row as a prompt would
# silently drop the responses.
ANSWER_FIELD = re.compile(r"chosen|rejected|response|completion|answer|output|prediction|sample|model")


def recognises(row: Row) -> bool:
    known = KNOWN_FIELDS | prompt_fields(row)
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
        raise RowError("the row has responses, which a file of prompts can't contain (use --format rankloop)")
    return [
        Record(messages=conversation_of(row), metadata=metadata_of(row, KNOWN_FIELDS | prompt_fields(row)))
    ]


def has_prompt(row: Row) -> bool:
    return any(isinstance(row.get(name), (str, list)) and row[name] for name in PROMPT_NAMES)


def prompt_fields(row: Row) -> frozenset[str]:
    """The names of the fields that :func:`conversation_of` reads from this row."""
    name = next((name for name in PROMPT_NAMES if given(row.get(name))), "prompt")
    return (
        frozenset({"instruction", "input", "history", "system"})
        if name == "instruction"
        else frozenset({name})
    )


def conversation_of(row: Row) -> tuple[dict[str, str], ...]:
    """The row's conversation: the field `messages`, or a prompt field that contains a text, which becomes one
    user turn, or a list of turns as in TRL.

    The prompt field can also be named question, query or instruction (`instruction` can be accompanied by
    `input`, `history` and `system`).
    """
    for name in CONVERSATION_NAMES:
        if given(row.get(name)):
            return messages_of(row[name], name)
    name = next((name for name in TEXT_NAMES if given(row.get(name))), "prompt")
    if name == "instruction":
        return conversation_of_instruction(row)
    prompt = row.get(name)
    if isinstance(prompt, list):
        return messages_of(prompt, name)
    if prompt is None:
        raise RowError("prompt is missing (and there is no messages field)")
    return prompt_messages(prompt, name)


FORMAT = ImportFormat(
    name="prompts",
    title="Prompts without responses (JSON Lines, CSV, Parquet)",
    reads="One prompt per row: `prompt`, `question`, `query` or `instruction` as text, or `messages`.",
    loses="Nothing: other fields are kept as the prompt's metadata.",
    example='{"id": "seed_task_0", "prompt": "Is there anything I can eat for breakfast?"}',
    recognises=recognises,
    parse=parse,
)
