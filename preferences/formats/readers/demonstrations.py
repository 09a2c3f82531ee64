"""Demonstrations: one answer per prompt, written by a person, in the formats of public files for
fine-tuning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from preferences.fields import given, text_of
from preferences.formats.dialogues import decoded_turns, open_conversation, read_turns, turn_metadata
from preferences.formats.readers.prompts import (
    ANSWER_FIELD,
    CONVERSATION_NAMES,
    RESPONSE_FIELDS,
    Prompt,
    has_prompt,
    prompt_metadata,
    prompt_of,
    with_system,
)
from preferences.records import (
    DEMONSTRATION,
    ImportFormat,
    Message,
    Parsed,
    Record,
    ResponseRecord,
    Row,
    RowError,
)

# Field names for the answer, in order of preference.
ANSWER_NAMES = ("completion", "output", "response", "answer")
# An answer in any other field can come from a model, so the user must then name the format.
_CLEAR_NAMES = frozenset({"completion", "output"})
_IDS = ("id", "idx", "index", "prompt_id")
# Fields whose names contain one of these words contain verdicts on the answer, or further answers.
_VERDICT = re.compile(
    r"score|rating|rank|reward|label|vote|winner|prefer|feedback|rubric|chosen|reject|response|answer",
    re.IGNORECASE,
)


def recognises(row: Row) -> bool:
    """Whether the row has one answer and nothing that looks like a vote, a score or another answer."""
    names = [name for name in row if ANSWER_FIELD.match(name) and given(row[name])]
    conversation = _conversation(row)
    if conversation is None and not (len(names) == 1 and names[0] in _CLEAR_NAMES and has_prompt(row)):
        return False
    if conversation is not None and names:
        return False
    others = {key: value for key, value in row.items() if key not in {*names, "history", "metadata", "tools"}}
    return not row.get("responses") and not any(
        _VERDICT.search(key)
        or isinstance(value, (bool, int, float, dict))
        or (isinstance(value, list) and not _is_turns(key))
        for key, value in others.items()
        if key not in _IDS
    )


def parse(row: Row) -> Parsed:
    if row.get("responses"):
        raise RowError("the row has responses; a demonstration has one answer")
    name = next((name for name in ANSWER_NAMES if given(row.get(name))), None)
    if name is not None:
        prompt, answer, fields = prompt_of(row), _answer(row[name], name), frozenset({name})
    elif (conversation := _conversation(row)) is not None:
        prompt, answer = _split(row, conversation)
        fields = frozenset()
    else:
        raise RowError(
            f"there is no answer: the row needs {', '.join(ANSWER_NAMES)} or a conversation that ends"
            " with an assistant turn"
        )
    if not answer.strip():
        raise RowError("the answer is empty")
    return [
        Record(
            messages=prompt.messages,
            responses=(ResponseRecord(answer, model=DEMONSTRATION),),
            metadata=prompt_metadata(row, prompt, RESPONSE_FIELDS | fields),
            task_metadata={},
            rankable=False,
        )
    ]


def _is_turns(name: str) -> bool:
    return name in CONVERSATION_NAMES or name == "prompt"


def _conversation(row: Row) -> str | None:
    """The field with a conversation that ends with an assistant turn."""
    for name in CONVERSATION_NAMES:
        if given(row.get(name)):
            turns = decoded_turns(row[name], name)
            if (
                isinstance(turns, list)
                and len(turns) > 1
                and read_turns(turns, name)[0][-1]["role"] == "assistant"
            ):
                return name
    return None


def _split(row: Row, name: str) -> tuple[Prompt, str]:
    """The conversation before the last turn, and the text of the last turn."""
    turns, fields = read_turns(decoded_turns(row[name], name), name)
    messages, system = with_system(row, open_conversation(turns[:-1], name))
    # The fields of the last turn describe the answer, and are kept with those of the other turns.
    used = frozenset({name, *system, *_repeated(row, messages)})
    return Prompt(messages, used, turn_metadata(fields)), turns[-1]["content"]


def _repeated(row: Row, messages: tuple[Message, ...]) -> set[str]:
    """The text fields that only repeat a turn of the conversation."""
    texts = {message["content"].strip() for message in messages}
    return {
        key for key in ("prompt", "instruction", "question") if str(row.get(key, "")).strip() in texts - {""}
    }


def _answer(value: Any, name: str) -> str:
    """The answer's text. The field can also contain a list with one assistant turn, as in TRL."""
    if isinstance(decoded := decoded_turns(value, name), (list, Mapping)):
        turns = read_turns(decoded, name)[0]
        if len(turns) != 1 or turns[0]["role"] != "assistant":
            raise RowError(f"{name} must be text or one assistant turn")
        return turns[0]["content"]
    return text_of(value, name)


FORMAT = ImportFormat(
    name="demonstrations",
    title="Demonstrations: one answer per prompt, for fine-tuning (JSON Lines, CSV, Parquet)",
    reads="Each row becomes a prompt with an answer that a person wrote. The answer is the last turn of "
    "`messages`, `conversation` or `conversations`. Alternatively, the prompt is in `prompt` or "
    "`instruction` (with `input` and `history`), and the answer is in `completion` or `output`. A file with "
    "the answer in `response` or `answer` needs `--format demonstrations`, because such a file can also "
    "contain answers from models. "
    "No tasks are created. `launch_run sft --set demonstrations=imported` fine-tunes on the answers.",
    loses="Earlier assistant turns of a conversation are part of the prompt, not demonstrations.",
    example='{"instruction": "Name a colour.", "input": "", "output": "Blue."}',
    recognises=recognises,
    parse=parse,
)
