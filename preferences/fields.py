"""Convert the fields of a row to the required types. Each function raises a RowError that names the field if
the value is invalid."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from preferences.records import Message, Record, Row, RowError, Tiers, TooFewResponses, Vote
from preferences.text import (
    MAX_RESPONSES,
    MAX_TEXT_CHARACTERS,
    MIN_RESPONSES,
    name_fault,
    storage_fault,
    text_fault,
)

MAX_METADATA_BYTES = 64 * 1024
MAX_DEPTH = 50
EARLIEST_EPOCH = 0
LATEST_EPOCH = 2**33  # in seconds (the year 2242); larger numbers are taken as milliseconds


def text_of(value: object, name: str) -> str:
    """Return `value` as text that Postgres can store, or raise a RowError that names the field."""
    if not isinstance(value, str):
        raise RowError(f"{name} must be text, not {kind(value)}")
    if fault := text_fault(value):
        raise RowError(f"{name} {fault}")
    return value


def label_of(value: object, name: str) -> str:
    """A short name (model, annotator): text or a number, at most 200 characters; a missing value gives an
    empty string."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = text_of(value, name).strip()
    if fault := name_fault(text):
        raise RowError(f"{name} {fault}")
    return text


def list_of(value: object, name: str) -> Sequence[Any]:
    """`value` as a list. CSV has no lists, so a string that contains a JSON list is parsed."""
    if isinstance(value, str):
        value = json_of(value, name)
    if not isinstance(value, (list, tuple)):
        raise RowError(f"{name} must be a list, not {kind(value)}")
    return value


def object_of(value: object, name: str) -> dict[str, Any]:
    """`value` as an object with string keys. A missing value gives an empty object; a string that contains a
    JSON object is parsed."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = json_of(value, name)
    if not isinstance(value, Mapping):
        raise RowError(f"{name} must be an object, not {kind(value)}")
    return {str(key): inner for key, inner in value.items() if inner is not None}


def one_of(value: object, name: str, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`; otherwise raise a RowError."""
    if not isinstance(value, str) or value not in choices:
        raise RowError(f"{name} is {repr(value)[:80]}; it must be one of {', '.join(choices)}")
    return value


def int_of(value: object, name: str, *, low: int, high: int) -> int | None:
    """An integer from low to high; None if the value is missing or an empty CSV cell."""
    if value is None or value == "":
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) <= 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RowError(f"{name} must be a whole number, not {kind(value)}")
    if not low <= value <= high:
        raise RowError(f"{name} is {value}; it must be from {low} to {high}")
    return value


def bool_of(value: object, name: str) -> bool:
    if value is None or value == "":
        return False
    if isinstance(value, str) and value.strip().lower() in {"true", "1", "false", "0"}:
        return value.strip().lower() in {"true", "1"}
    if not isinstance(value, bool):
        raise RowError(f"{name} must be true or false, not {kind(value)}")
    return value


def prompt_messages(text: object, name: str = "prompt") -> tuple[Message, ...]:
    """A conversation with a single user turn that contains the text."""
    content = text_of(text, name)
    if not content.strip():
        raise RowError(f"{name} is empty")
    return ({"role": "user", "content": content},)


def check_response_count(count: int) -> None:
    """Check the number of responses: in every format, a ranking task has 2 to 10 responses."""
    if count < MIN_RESPONSES:
        raise TooFewResponses(
            f"the number of responses is {count}; a ranking task needs at least {MIN_RESPONSES}"
        )
    if count > MAX_RESPONSES:
        raise RowError(f"the number of responses is {count}; a ranking task can have at most {MAX_RESPONSES}")


def check_texts(record: Record | Vote) -> None:
    """Check the length of texts that a reader has joined from several fields."""
    if isinstance(record, Vote):
        return
    for name, texts in (
        ("message", [message["content"] for message in record.messages]),
        ("response", [response.text for response in record.responses]),
    ):
        for number, text in enumerate(texts):
            if len(text) > MAX_TEXT_CHARACTERS:
                raise RowError(f"{name} {number} {text_fault(text)}")


def tiers_of(value: object, count: int, name: str = "tiers", *, partial: bool = False) -> Tiers:
    """Ordered groups of response indices (from 0), best first, in which each of the `count` responses appears
    exactly once.

    With `partial`, responses can be omitted and then rank below all groups, for example if annotators rank
    only the best three.
    """
    tiers: list[tuple[int, ...]] = []
    for index, group in enumerate(list_of(value, name)):
        members = list_of(group, f"{name}.{index}")
        if not members:
            raise RowError(f"{name}.{index} is an empty group")
        tiers.append(tuple(_index_of(member, count, f"{name}.{index}") for member in members))
    seen = [member for group in tiers for member in group]
    if len(set(seen)) != len(seen):
        raise RowError(f"{name} lists a response twice")
    if len(seen) != count and not partial:
        missing = sorted(set(range(count)) - set(seen))
        raise RowError(f"{name} leaves out response {', '.join(map(str, missing))} (counted from 0)")
    return tuple(tiers)


def tiers_from_ranks(value: object, count: int, name: str = "ranking") -> Tiers:
    """Tiers from one rank number per response: 1 is best, equal numbers tie.

    Zero is rejected because a list such as `[2, 0, 1]` could be rank numbers or indices in ranked order, with
    different winners.
    """
    given = list_of(value, name)
    if len(given) != count:
        raise RowError(f"{name} has {len(given)} numbers for {count} responses")
    ranks: dict[int, list[int]] = {}
    for index, rank in enumerate(given):
        if isinstance(rank, bool) or not isinstance(rank, int) or rank < 1:
            raise RowError(f"{name}.{index} is {rank!r}; each response needs a rank number, and 1 is best")
        ranks.setdefault(rank, []).append(index)
    return tuple(tuple(ranks[rank]) for rank in sorted(ranks))


def metadata_of(row: Row, known: frozenset[str]) -> dict[str, Any]:
    """The row's `metadata` object merged with all unknown fields of the row, so that nothing is dropped
    silently."""
    found = {
        key: value for key, value in row.items() if key not in known and value is not None and value != ""
    }
    metadata = {**found, **object_of(row.get("metadata"), "metadata")}
    if not metadata:
        return metadata
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass"))
    except (TypeError, ValueError, RecursionError) as error:
        raise RowError(f"metadata can't be stored as JSON: {error}") from None
    if size > MAX_METADATA_BYTES:
        raise RowError(f"metadata takes {size:,} bytes as JSON; the maximum is {MAX_METADATA_BYTES:,}")
    check_no_nul(metadata, "metadata")
    return metadata


def check_no_nul(value: object, name: str, depth: int = 0) -> None:
    """Raise RowError if a text inside `value` can't be stored, or if `value` is nested so deeply that
    serializing it would exhaust the stack."""
    if depth > MAX_DEPTH:
        raise RowError(f"{name[:40]}… is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_storable(value, name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_storable(str(key), name)
            check_no_nul(inner, f"{name}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            check_no_nul(inner, f"{name}.{index}", depth + 1)


def json_of(text: str, name: str) -> Any:
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        raise RowError(f"{name} is not valid JSON: {error}") from None


def refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


# One shared decoder, because json.loads builds a new decoder for each call with options.
_decode = json.JSONDecoder(parse_constant=refuse_constant).decode


def kind(value: object) -> str:
    """The name of the value's type, for error messages."""
    names = {
        str: "text",
        bool: "true/false",
        int: "a number",
        float: "a number",
        dict: "an object",
        list: "a list",
    }
    return "missing" if value is None else names.get(type(value), type(value).__name__)


def _index_of(value: object, count: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise RowError(f"{name} names response {value!r}; the responses are 0 to {count - 1}")
    return value


def _check_storable(text: str, name: str) -> None:
    if fault := storage_fault(text):
        raise RowError(f"{name} {fault}")


def time_of(value: object) -> datetime | None:
    """Parse a time from ISO 8601 text (a space can replace the T) or from seconds or milliseconds since 1970;
    return None for anything else. A time without a time zone is taken as UTC."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if LATEST_EPOCH < value < LATEST_EPOCH * 1000:
            value = value / 1000
        if not EARLIEST_EPOCH < value < LATEST_EPOCH:
            return None
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, str) or not value.strip():
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def plain_of(value: object, name: str) -> Any:
    """Return `value` unchanged if it can be stored as JSON: small enough, and without NUL or NaN. Otherwise
    raise a RowError."""
    return metadata_of({name: value}, frozenset()).get(name)


def given(value: object) -> bool:
    """Whether the field has a value. CSV has no null, so an empty cell is treated as missing."""
    return value is not None and value != ""
