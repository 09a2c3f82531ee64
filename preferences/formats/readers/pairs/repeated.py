"""If the responses of a pair repeat the prompt, read the prompt only once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from preferences.formats.readers.prompts import PROMPT_NAMES, stripped
from preferences.records import Message, Row

# A shorter prompt, such as "Hello", can be the beginning of a response that does not repeat the prompt.
MIN_WORDS = 2
MIN_CHARACTERS = 8
# If a field's name contains one of these words, the field probably contains the prompt.
PROMPT_WORD = re.compile(
    r"prompts?|questions?|query|instructions?|inputs?|user|human|text|post|context|request|messages?|dialogs?|"
    r"dialogues?|conversations?|history|article|document|passage|body|task|problem|ask|utterance|source|title|goal"
)
# If a field's name contains one of these words, the field does not contain the prompt. Such a field describes
# the prompt, an annotation or one of the two responses.
OTHER_WORD = re.compile(
    r"ids?|name|hash|type|kind|count|length|len|lang|language|model|score|rating|reasons?|rationale|"
    r"explanations?|justification|comments?|feedback|critique|notes?|description|guidelines?|rubric|license|"
    r"url|link|path|file|date|time|chosen|rejected|annotator|metadata"
)
# A field that is named with one of these words can also contain other data, such as the name of a user. If
# the field's value is a single word, it is not a prompt.
AMBIGUOUS_WORDS = frozenset({"user", "human", "source", "title", "task", "message", "goal", "body"})
TURN_FIELDS = frozenset({"role", "from"})
LONG = 6  # words; a label rarely has this many words


def without_prompt(prompt: str, texts: Sequence[str]) -> list[str] | None:
    """If both texts begin with the prompt, the texts without the prompt; otherwise None."""
    prompt = prompt.strip()
    if not all(text.startswith(prompt) or text[:1].isspace() for text in texts):
        return None
    if len(prompt.split()) < MIN_WORDS and len(prompt) < MIN_CHARACTERS:
        return None
    rests = []
    for text in texts:
        start = len(text) - len(text.lstrip())
        rest = text[start + len(prompt) :]
        if not text.startswith(prompt, start) or not rest.strip():
            return None
        if prompt[-1].isalnum() and rest[0].isalnum():
            return None  # the prompt ends inside a word of the response
        rests.append(rest)
    return rests


def merged(prompt: Sequence[Message], shared: Sequence[Message]) -> tuple[Message, ...] | None:
    """Combine a row's prompt field (`prompt`) with the turns that its two conversations share (`shared`).
    `prompt` can be a part of `shared`, or end with `shared`. Both can begin with system turns. Return None if
    the two do not match."""
    (given_system, given), (shared_system, rest) = _split(prompt), _split(shared)
    if given_system and shared_system and stripped(given_system) != stripped(shared_system):
        return None
    one, two = stripped(given), stripped(rest)
    if any(two[start : start + len(one)] == one for start in range(len(two) - len(one) + 1)):
        turns = rest
    elif one[len(one) - len(two) :] == two:
        turns = given
    else:
        return None
    return (*(shared_system or given_system), *turns)


def possible_prompts(row: Row, known: frozenset[str]) -> list[str]:
    """The fields that could contain the prompt of a row without a known prompt field."""
    return [
        name
        for name, value in row.items()
        if name not in known and name not in PROMPT_NAMES and _could_be_prompt(str(name), value)
    ]


def _split(turns: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    count = next((index for index, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
    return list(turns[:count]), list(turns[count:])


def _could_be_prompt(name: str, value: Any) -> bool:
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))
    named = any(PROMPT_WORD.fullmatch(word) for word in words)
    if isinstance(value, list):
        turns = [turn for turn in value if isinstance(turn, dict)]
        return any(named or TURN_FIELDS & turn.keys() for turn in turns)
    if not isinstance(value, str) or not value.strip() or any(map(OTHER_WORD.fullmatch, words)):
        return False
    length = len(value.split())
    if named:
        return length > 1 or not words & AMBIGUOUS_WORDS
    return length >= LONG or value.rstrip().endswith(("?", "\uff1f"))
