"""The text of a turn: its content, followed by its tool calls.

Content is text or a list of text parts, which are joined by blank lines. Tool calls become a fenced block
with one call per line, as JSON with sorted keys:

    ```tool_calls
    {"arguments": {"city": "Oslo"}, "name": "get_temperature"}
    ```

The calls are part of the text, because annotators rank them, exports contain them, and reward models learn
from them. Responses are also compared by their text. The block contains the name and the arguments of each
call, but not its ID: IDs are random, and equal calls must have equal text. :func:`further_fields` returns the
original objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from preferences.fields import given, kind, list_of, parsed_of, text_of
from preferences.records import RowError

BLOCK = "```tool_calls\n{calls}\n```"
PART_SEPARATOR = "\n\n"
# "input_text" and "output_text" are used by OpenAI's Responses API.
TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
# A part with a value in one of these fields contains more than text. Files with one schema for all parts
# contain these fields as null.
MEDIA_FIELDS = ("image", "image_url", "audio", "input_audio", "video", "file", "source")
READ_FIELDS = frozenset({"role", "from", "content", "value"})
PART_FIELDS = frozenset({"type", "text"})
# In OpenAI's API, `function_call` is the older form of a single call.
CALL_FIELDS = frozenset({"tool_calls", "function_call"})
# These fields of a call are not part of its text.
BOOKKEEPING = frozenset({"id", "type", "index", "function"})


def content_of(turn: Mapping[str, Any]) -> Any:
    """The content of a turn, which chat files store in `content` and ShareGPT files in `value`."""
    content = turn.get("content")
    return turn.get("value") if content is None else content


def turn_text(turn: Mapping[str, Any], where: str) -> str:
    """The text of a turn. Raises RowError if the content is not text or if a tool call has no name."""
    content, calls = content_of(turn), _calls_of(turn, where)
    if isinstance(content, (list, Mapping)):
        text = _joined([content] if isinstance(content, Mapping) else content, f"{where}.content")
    elif content is None and calls:
        text = ""
    else:
        text = text_of(content, f"{where}.content")
    if not calls:
        return text
    block = text_of(BLOCK.format(calls="\n".join(calls)), f"{where}.tool_calls")
    return f"{text}{PART_SEPARATOR}{block}" if text else block


def further_fields(turn: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a turn that are not fully contained in its text, unchanged. These are tool calls with
    their IDs, the name of a tool, and all unknown fields. If parts of the content have fields besides type
    and text, the content is also returned."""
    found = {
        key: value
        for key, value in turn.items()
        if key not in READ_FIELDS and value is not None and value != "" and value != []
    }
    content = turn.get("content")
    if given(content) and given(turn.get("value")) and turn["value"] != content:
        found["value"] = turn["value"]
    parts = content if isinstance(content, list) else [content]
    if any(
        isinstance(part, Mapping) and any(given(part[key]) for key in part.keys() - PART_FIELDS)
        for part in parts
    ):
        found["content"] = content
    return found


def _joined(parts: Sequence[Any], where: str) -> str:
    texts = [_part_text(part, f"{where}.{index}") for index, part in enumerate(parts)]
    return PART_SEPARATOR.join(text for text in texts if text)


def _part_text(part: Any, where: str) -> str:
    if isinstance(part, str):
        return text_of(part, where)
    if not isinstance(part, Mapping):
        raise RowError(f"{where} must be text or an object with type and text, not {kind(part)}")
    type_ = part.get("type")
    if type_ is None and isinstance(part.get("text"), str):
        type_ = "text"
    medium = next((name for name in MEDIA_FIELDS if given(part.get(name))), None)
    if type_ not in TEXT_PARTS or medium is not None:
        name = repr(type_ if type_ not in TEXT_PARTS and type_ is not None else medium)[:40]
        raise RowError(f"{where} is a part of type {name}; only text parts can be imported")
    return text_of(part.get("text"), f"{where}.text")


def _calls_of(turn: Mapping[str, Any], where: str) -> list[str]:
    """The lines of the block with a turn's calls."""
    lines: list[str] = []
    for name in sorted(CALL_FIELDS & turn.keys()):
        value = turn.get(name)
        if not given(value) or value in ([], {}):
            continue
        if isinstance(value, str):
            value = parsed_of(value, f"{where}.{name}")
        calls = [value] if isinstance(value, Mapping) else list_of(value, f"{where}.{name}")
        lines += [_line(call, f"{where}.{name}.{index}") for index, call in enumerate(calls)]
    return lines


def _line(call: Any, where: str) -> str:
    if isinstance(call, str):
        call = parsed_of(call, where)
    if not isinstance(call, Mapping):
        raise RowError(f"{where} must be an object with a name and arguments, not {kind(call)}")
    function = call.get("function")
    shown = {key: value for key, value in call.items() if key not in BOOKKEEPING}
    shown |= function if isinstance(function, Mapping) else {} if function is None else {"name": function}
    if not isinstance(shown.get("name"), str) or not shown["name"]:
        raise RowError(f"{where} has no function name")
    if isinstance(shown.get("arguments"), str):
        shown["arguments"] = _decoded(shown["arguments"])
    try:
        return json.dumps(_without_nulls(shown), ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RowError(f"{where} can't be written as JSON: {error}") from None


def _decoded(arguments: str) -> Any:
    """A call's arguments, parsed if their text contains an object or a list. Other text, such as truncated
    JSON, is returned unchanged."""
    try:
        decoded = parsed_of(arguments, "arguments")
    except RowError:
        return arguments
    return decoded if isinstance(decoded, (dict, list)) else arguments


def _without_nulls(value: Any) -> Any:
    """`value` without null fields. In Parquet files and Hugging Face datasets, every call has the argument
    names of all calls in the file, and arguments that a call does not use are null."""
    if isinstance(value, Mapping):
        return {str(key): _without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, (list, tuple)):
        return [_without_nulls(inner) for inner in value]
    return value
