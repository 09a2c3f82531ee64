"""Prompts without responses: `{"prompt": "…"}` or `{"messages": […]}`; further fields become metadata."""

from __future__ import annotations

import re

from annotation.formats.records import (
    ImportFormat,
    Record,
    Row,
    RowError,
    messages_of,
    metadata_of,
    prompt_messages,
)

KNOWN_FIELDS = frozenset({"prompt", "messages", "metadata", "responses"})


# A row with such a field holds answers in a shape unknown here; as a mere prompt it would lose them
# unnoticed.
ANSWER_FIELD = re.compile(r"chosen|rejected|response|completion|answer|output|prediction|sample|model")


def recognises(row: Row) -> bool:
    others = {key: value for key, value in row.items() if key not in KNOWN_FIELDS}
    return (
        not row.get("responses")
        and (isinstance(row.get("prompt"), (str, list)) or isinstance(row.get("messages"), (str, list)))
        and not any(
            ANSWER_FIELD.match(key) or isinstance(value, (list, dict)) for key, value in others.items()
        )
    )


def parse(row: Row) -> Record:
    if row.get("responses"):
        raise RowError("responses is given; a file of prompts has none (use --format rankloop)")
    return Record(messages=conversation_of(row), metadata=metadata_of(row, KNOWN_FIELDS))


def conversation_of(row: Row) -> tuple[dict[str, str], ...]:
    """The row's `messages`, or its `prompt` as one user turn (or, as TRL writes it, as a list of turns)."""
    given = row.get("messages")
    if given is not None and given != "":
        return messages_of(given)
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        return messages_of(prompt, "prompt")
    if prompt is None:
        raise RowError("prompt is missing (and there is no messages field)")
    return prompt_messages(prompt)


FORMAT = ImportFormat(
    name="prompts",
    title="Prompts without responses (JSON Lines, CSV, Parquet)",
    example='{"id": "seed_task_0", "prompt": "Is there anything I can eat for breakfast?"}',
    recognises=recognises,
    parse=parse,
)
