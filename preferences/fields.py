"""Convert the fields of a row to the required types. Most functions raise a RowError that names the field if
the value is invalid; `whole_of` and `time_of` return None."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from preferences.literals import literal_of, looks_like_literal
from preferences.records import Message, Row, RowError, Tiers, TooFewResponses
from preferences.text import (
    MAX_RESPONSES,
    MIN_RESPONSES,
    name_fault,
    storage_fault,
    text_fault,
)

MAX_METADATA_BYTES = 64 * 1024
MAX_DEPTH = 50
EARLIEST_EPOCH = 0
LATEST_EPOCH = 2**33  # the year 2242, in seconds; larger numbers are interpreted as milliseconds
# Whole numbers can end in ".0": if a number is missing in a column, pandas stores the others as floats.
WHOLE_TEXT = re.compile(r"[+-]?\d{1,18}(?:\.0*)?")
EXACT_FLOAT = 2**53
TRUTH = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
# Columns in which pandas saves the row numbers when it writes a table with its index.
INDEX_COLUMNS = frozenset({"Unnamed: 0", "Unnamed: 0.1", "__index_level_0__"})


def text_of(value: object, name: str) -> str:
    """Return `value` as text that Postgres can store, or raise a RowError that names the field."""
    if not isinstance(value, str):
        raise RowError(f"{name} must be text, not {kind(value)}")
    if fault := text_fault(value):
        raise RowError(f"{name} {fault}")
    return value


def label_of(value: object, name: str) -> str:
    """A short name, such as a model's or an annotator's. The value can be text or a number and has at most
    200 characters. A missing value becomes an empty string."""
    if value is None:
        return ""
    whole = whole_of(value)
    if whole is not None:
        value = str(whole)
    elif isinstance(value, float) and isfinite(value):
        value = str(value)
    text = text_of(value, name).strip()
    if fault := name_fault(text):
        raise RowError(f"{name} {fault}")
    return text


def annotator_of(row: Row, field: str = "annotator") -> str:
    """The annotator's name in a field. The number 17.0 is read as "17", because pandas writes 17 as 17.0 if
    another number in its column is missing."""
    name = label_of(row.get(field), field)
    return name.partition(".")[0] if WHOLE_TEXT.fullmatch(name) else name


def list_of(value: object, name: str) -> Sequence[Any]:
    """`value` as a list. CSV has no lists, so a string that contains a list as JSON or as Python code is
    parsed."""
    if isinstance(value, str):
        if not looks_like_literal(value):
            raise RowError(f"{name} must be a list, not the text {value[:40]!r}")
        value = parsed_of(value, name)
    if not isinstance(value, (list, tuple)):
        raise RowError(f"{name} must be a list, not {kind(value)}")
    return value


def object_of(value: object, name: str) -> dict[str, Any]:
    """`value` as an object with string keys, without null values. A missing value becomes an empty object. A
    string that contains an object as JSON or as Python code is parsed."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        value = parsed_of(value, name)
    if not isinstance(value, Mapping):
        raise RowError(f"{name} must be an object, not {kind(value)}")
    return {str(key): inner for key, inner in value.items() if inner is not None}


def one_of(value: object, name: str, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`; otherwise raise a RowError."""
    if not isinstance(value, str) or value not in choices:
        raise RowError(f"{name} is {repr(value)[:80]}; it must be one of {', '.join(choices)}")
    return value


def int_of(value: object, name: str, *, low: int, high: int) -> int | None:
    """An integer from `low` to `high`. The value can be written as a float (2.0). A missing value or an empty
    CSV cell becomes None."""
    if value is None or value == "":
        return None
    whole = isinstance(value, str) and WHOLE_TEXT.fullmatch(value.strip())
    found = int(str(value).partition(".")[0]) if whole else whole_of(value)
    if found is None:
        raise RowError(f"{name} must be a whole number, not {_shown(value)}")
    if not low <= found <= high:
        raise RowError(f"{name} is {_shown(found)}; it must be from {low} to {high}")
    return found


def whole_of(value: object) -> int | None:
    """`value` as an integer, for example 2 for 2.0; None if it is not a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_FLOAT:
        return int(value)
    return None


def bool_of(value: object, name: str) -> bool:
    if value is None or value == "":
        return False
    if isinstance(value, bool):
        return value
    text = value.strip().lower() if isinstance(value, str) else str(whole_of(value))
    if text not in TRUTH:
        raise RowError(f"{name} must be true or false, not {_shown(value)}")
    return TRUTH[text]


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


def tiers_of(value: object, count: int, name: str = "tiers", *, partial: bool = False) -> Tiers:
    """Ordered groups of response indices (from 0), best first. Each of the `count` responses must appear
    exactly once.

    With `partial`, responses can be omitted, for example if annotators rank only the best three. Omitted
    responses rank below all groups.
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
        what = "response" if len(missing) == 1 else "responses"
        raise RowError(f"{name} leaves out {what} {', '.join(map(str, missing))} (counted from 0)")
    return tuple(tiers)


def tiers_from_ranks(value: object, count: int, name: str = "ranking") -> Tiers:
    """Tiers from one rank number per response: 1 is best, and equal numbers tie.

    Zero is rejected because a list such as `[2, 0, 1]` is ambiguous. Its entries could be rank numbers or
    indices in ranked order, and the two interpretations have different winners.
    """
    given = list_of(value, name)
    if len(given) != count:
        raise RowError(f"{name} has {len(given)} numbers for {count} responses")
    ranks: dict[int, list[int]] = {}
    for index, value in enumerate(given):
        rank = whole_of(value)
        if rank is None or rank < 1:
            raise RowError(
                f"{name}.{index} is {_shown(value)}; each response needs a rank number, and 1 is best"
            )
        ranks.setdefault(rank, []).append(index)
    return tuple(tuple(ranks[rank]) for rank in sorted(ranks))


def metadata_of(row: Row, known: frozenset[str]) -> dict[str, Any]:
    """The row's `metadata` object merged with all of the row's unknown fields that have a value, so that
    nothing is dropped silently. If the field `metadata` contains a list, the list is kept under the key
    `metadata`. Only the row numbers in pandas' index column are left out."""
    found = {
        key: value
        for key, value in row.items()
        if key not in known
        and value is not None
        and value != ""
        and not (key in INDEX_COLUMNS and WHOLE_TEXT.fullmatch(str(value)))
    }
    inner = row.get("metadata")
    inner = {"metadata": inner} if isinstance(inner, list) else object_of(inner, "metadata")
    metadata = {**found, **inner} if inner else found
    if not metadata:
        return metadata
    try:
        try:
            size = _json_bytes(metadata)
        except TypeError:  # bytes from a Parquet file
            metadata = _with_base64(metadata)
            size = _json_bytes(metadata)
    except (TypeError, ValueError, RecursionError) as error:
        check_no_nul(metadata, "metadata")
        raise RowError(f"metadata can't be stored as JSON: {error}") from None
    if size > MAX_METADATA_BYTES:
        raise RowError(f"metadata takes {size:,} bytes as JSON; the maximum is {MAX_METADATA_BYTES:,}")
    check_no_nul(metadata, "metadata")
    return metadata


def _json_bytes(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="surrogatepass"))


def _with_base64(value: Any) -> Any:
    """`value` with Base64 text in place of bytes."""
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {key: _with_base64(inner) for key, inner in value.items()}
    return [_with_base64(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def check_no_nul(value: object, name: str, depth: int = 0) -> None:
    """Raise RowError if `value` contains bytes, NaN, Infinity or text that can't be stored, or if it is
    nested too deeply. Serializing deeply nested values would exhaust the stack."""
    if depth > MAX_DEPTH:
        raise RowError(f"{name[:40]}… is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        _check_storable(value, name)
    elif isinstance(value, float):
        if not isfinite(value):
            raise RowError(f"{name} is {value}, which JSON can't represent")
    elif isinstance(value, bytes):
        raise RowError(f"{name} contains bytes that are not UTF-8 text")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_storable(str(key), name)
            check_no_nul(inner, f"{name}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            check_no_nul(inner, f"{name}.{index}", depth + 1)


def parsed_of(text: str, name: str) -> Any:
    """The list or object in `text`, written as JSON or as Python code."""
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        if not looks_like_literal(text):
            raise RowError(f"{name} is not valid JSON: {error}") from None
    try:
        return literal_of(text)
    except ValueError as error:
        raise RowError(f"{name} is neither valid JSON nor a Python list or dictionary: {error}") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a JSON number")


# One shared decoder, because json.loads builds a new decoder for each call with options.
_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


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
    index = whole_of(value)
    if index is None or not 0 <= index < count:
        raise RowError(f"{name} refers to response {_shown(value)}; responses are numbered 0 to {count - 1}")
    return index


def _shown(value: object) -> str:
    """The value as shown in an error message. Text and numbers are shortened; for other values, only the type
    is named."""
    if value is None or isinstance(value, (str, int, float)):
        return repr(value)[:40]
    return kind(value)


def _check_storable(text: str, name: str) -> None:
    if fault := storage_fault(text):
        raise RowError(f"{name} {fault}")


def time_of(value: object) -> datetime | None:
    """Parse a time from ISO 8601 text or from seconds or milliseconds since 1970. In the text, date and time
    can be separated by a space instead of a T. Return None for any other value. A time without a time zone is
    interpreted as UTC."""
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
