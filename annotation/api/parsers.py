from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from config.problems import FieldProblem, Problem
from preferences.text import NUL, storage_fault

# The limit is deeper than any valid request body and a hundredth of the depth at which JSON libraries fail.
MAX_DEPTH = 20


class TextJSONParser(JSONParser):
    """A JSON parser that accepts only strings that can be stored and sent back.

    JSON can contain a NUL, which Postgres refuses, and a lone surrogate, which has no UTF-8 encoding. Without
    this check, either character would cause a server error later.
    """

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        raw: bytes = stream.read()
        try:
            text = raw.decode("utf-8")
            data = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8: byte {error.start} is invalid.") from None
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not JSON: {error}") from None
        # Checks only bodies that can contain a forbidden character or be nested too deeply, because walking
        # through the whole body is slower than parsing it.
        if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
            _refuse_unstorable(data)
        return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:20]} is too large a number")
    return value


def _refuse_unstorable(body: object) -> None:
    """Refuses a NUL or a lone surrogate in any string. Both characters are always escaped in the body: the
    decoder refuses control characters, and UTF-8 has no surrogates."""
    level: list[tuple[str, object]] = [("", body)]
    for _ in range(MAX_DEPTH):
        below: list[tuple[str, object]] = []
        for path, value in level:
            if isinstance(value, str):
                _refuse_text(path, value)
            elif isinstance(value, list):
                below += [(f"{path}.{index}".lstrip("."), item) for index, item in enumerate(value)]
            elif isinstance(value, dict):
                for key, item in value.items():
                    inner = f"{path}.{key}".lstrip(".")
                    _refuse_text(inner, key)
                    below.append((inner, item))
        level = below
    if level:
        raise ParseError(f"The body is nested too deeply: more than {MAX_DEPTH} levels.")


def _refuse_text(path: str, text: str) -> None:
    fault = storage_fault(text)
    if fault is None:
        return
    reason = f"It {fault}."
    # The path can contain the forbidden character too. The response includes the path, so escape it there.
    field = path.replace(NUL, "\\u0000").encode(errors="backslashreplace").decode()
    raise Problem(
        f"The body can't be stored. {field}: {reason}",
        errors=[FieldProblem(field, reason)],
        status=HTTPStatus.BAD_REQUEST,
        type="unstorable-text",
    )
