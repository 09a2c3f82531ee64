"""Settings that are written as `name=value, name=value`."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

NAME = re.compile(r"\s*([^=,]*[^=,\s])\s*=\s*")
TEXT = re.compile(r"[^,]*")


class Pair(NamedTuple):
    name: str
    value: Any


def parse_pairs(text: str) -> list[Pair]:
    """Parse `name=value, name=value`, in order. A value is a JSON literal or, if it isn't valid JSON, text
    without a comma. Raises ValueError."""
    found: list[Pair] = []
    at = 0
    while at < len(text.rstrip()):
        named = NAME.match(text, at)
        if named is None:
            rest = text[at:].strip()
            raise ValueError(
                f"expected entries of the form name=value, separated by commas, but got {rest!r}"
            )
        value, at = _value(named[1], text, named.end())
        found.append(Pair(named[1], value))
    return found


def _value(name: str, text: str, at: int) -> tuple[Any, int]:
    """Return the value that starts at this position, and the position after its comma."""
    try:
        value, end = json.JSONDecoder(parse_constant=_no_constant).raw_decode(text, at)
        rest = TEXT.match(text, end)
        if rest is not None and not rest[0].strip():
            return value, rest.end() + 1
    except ValueError:
        pass
    plain = TEXT.match(text, at)
    assert plain is not None  # the pattern also matches an empty string
    if not (value := plain[0].strip()):
        raise ValueError(f"{name} has no value")
    return value, plain.end() + 1


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
